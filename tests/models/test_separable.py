"""The family of cheap blocks."""

from typing import Any

import pytest
import torch
from torch import nn

from pipeline.base.errors import UserError
from pipeline.models import separable
from pipeline.models.build import build
from pipeline.models.taps import shapes
from tests.models.nets import parameters, taps

KINDS: list[dict[str, Any]] = [
    {"kind": "separable", "widths": [4, 6]},
    {"kind": "grouped", "widths": [4, 8], "groups": 2, "blocks": 2},
    {"kind": "bottleneck", "widths": [4, 4, 6], "expansion": 3},
]


@pytest.mark.parametrize("settings", KINDS, ids=str)
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 32), (1, 1)])
def test_each_kind_gives_logits_and_has_a_tap_a_stage(settings: dict[str, Any], channels: int, size: int):
    net = build({"family": "separable", **settings}, channels=channels, size=size, classes=5)
    assert net(torch.randn(2, channels, size, size)).shape == (2, 5)
    widths = settings["widths"]
    assert taps(net) == (*(f"stage{number}" for number in range(1, len(widths) + 1)), "embedding")
    found = shapes(net, channels, size)
    assert [found[name][0] for name in taps(net)] == [*widths, widths[-1]]
    edges = [found[name][1] for name in taps(net)[:-1]]
    assert edges == [-(-size // 2 ** (number + 1)) for number in range(len(widths))]


def test_a_separable_block_has_the_parameters_of_the_paper():
    """Howard et al. 2017, section 3.1: k k M + M N weights, where a full convolution has k k M N."""
    net = separable.build(channels=3, size=32, classes=10, widths=(8, 16))
    norms = 2 * (8 + 8 + 8 + 8 + 16)
    assert parameters(net) == 3 * 8 * 9 + (9 * 8 + 8 * 8) + (9 * 8 + 8 * 16) + norms + 16 * 10 + 10


def test_groups_and_expansion_are_those_asked_for():
    grouped = separable.build(channels=1, size=8, classes=3, kind="grouped", widths=(8, 16), groups=2)
    spatial = [module for module in grouped.modules() if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)]
    assert [module.groups for module in spatial] == [1, 2, 2]
    wide = separable.build(channels=1, size=8, classes=3, kind="bottleneck", widths=(8,), expansion=5)
    assert {module.groups for module in wide.modules() if isinstance(module, nn.Conv2d)} == {1, 40}


def test_a_bottleneck_has_a_shortcut_only_where_shapes_are_equal():
    torch.manual_seed(0)
    same, other = separable.Bottleneck(4, 4, 1, 2).eval(), separable.Bottleneck(4, 4, 2, 2).eval()
    for block in (same, other):
        for parameter in block.parameters():
            nn.init.zeros_(parameter)
    x_BCHW = torch.randn(2, 4, 6, 6)
    assert torch.equal(same(x_BCHW), x_BCHW)
    assert other(x_BCHW).shape == (2, 4, 3, 3)
    assert not other(x_BCHW).any()


def test_bad_settings_are_named():
    with pytest.raises(UserError, match="6 channels do not divide into 4 groups"):
        separable.build(channels=1, size=8, classes=3, kind="grouped", widths=(4, 6))
    with pytest.raises(UserError, match="widths"):
        separable.build(channels=1, size=8, classes=3, widths=())
