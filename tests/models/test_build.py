"""What every network of ours keeps to, whatever its family."""

import copy
import itertools

import pytest
import torch
from torch import nn

from pipeline.base.errors import UserError
from pipeline.models.build import build, rebuild
from pipeline.models.taps import tapped
from tests.models.nets import OWN, taps


@pytest.mark.parametrize("architecture", OWN, ids=str)
@pytest.mark.parametrize(("channels", "size", "classes"), [(1, 8, 10), (3, 16, 5), (2, 13, 2)])
def test_it_takes_any_channels_size_and_classes_and_taps_every_stage(architecture, channels, size, classes):
    torch.manual_seed(0)
    net = build(architecture, channels=channels, size=size, classes=classes)
    x_BCHW = torch.randn(3, channels, size, size)
    names = taps(net)
    assert names[-1] == "embedding"
    with tapped(net, names) as outputs:
        z_BC = net(x_BCHW)
    assert z_BC.shape == (3, classes)
    assert tuple(outputs) == names
    edges = [outputs[name].shape[-1] for name in names[:-1]]
    assert all(outputs[name].dim() == 4 for name in names[:-1])
    assert all(before > after for before, after in itertools.pairwise(edges))
    assert outputs["embedding"].dim() == 2
    linear = [module for module in net.modules() if isinstance(module, nn.Linear)][-1]
    torch.testing.assert_close(linear(outputs["embedding"]), z_BC)
    z_BC.sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("architecture", OWN, ids=str)
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(architecture):
    def weights(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        return build(architecture, channels=1, size=8, classes=4).state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_initialisation_is_kaiming_normal_over_the_fan_out():
    torch.manual_seed(0)
    net = build({"family": "residual", "width": 64}, channels=1, size=8, classes=4)
    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(convolutions) == len(norms) == 7
    for module in convolutions:
        expected = (2 / (9 * module.out_channels)) ** 0.5
        assert float(module.weight.detach().std()) == pytest.approx(expected, rel=0.1)
        assert module.bias is None
    assert all(bool((m.weight == 1).all()) and bool((m.bias == 0).all()) for m in norms)


@pytest.mark.parametrize("architecture", OWN, ids=str)
def test_evaluation_is_the_same_for_one_image_and_for_many_and_for_a_copy(architecture):
    torch.manual_seed(0)
    net = build(architecture, channels=1, size=8, classes=4).eval()
    x_BCHW = torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        z_BC = net(x_BCHW)
        torch.testing.assert_close(net(x_BCHW[:1]), z_BC[:1])
        assert torch.equal(copy.deepcopy(net)(x_BCHW), z_BC)


def test_rebuild_reads_all_from_the_node_and_seeks_no_pretrained_weights(monkeypatch):
    node = {"family": "residual", "width": 4, "channels": 2, "size": 8, "classes": 3}
    assert rebuild(node)(torch.zeros(2, 2, 8, 8)).shape == (2, 3)
    given = {}
    monkeypatch.setattr("pipeline.models.build.build", lambda settings, **_: given.update(settings))
    rebuild({**node, "family": "torchvision", "pretrained": True})
    assert given["pretrained"] is False


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"family": "resdual"}, "unknown family 'resdual', did you mean 'residual'"),
        ({"family": "build"}, "unknown family 'build'"),
        ({}, r"architecture\.family is missing: name one of own, plain, residual, separable, timm, torchvision, wide"),
        ({"family": "residual", "dpth": 8}, "architecture: unknown key 'dpth', did you mean 'depth'"),
        ({"family": "residual", "width": 0}, r"architecture\.width: .*greater than or equal to 1, not 0"),
        ({"family": "residual", "channels": 1}, "architecture: unknown key 'channels'"),
        ({"family": "residual", "depth": 9}, "6n\\+2 layers, not 9; nearest valid: 8 or 14"),
        ({"family": "residual", "depth": 2}, "not 2; nearest valid: 8$"),
        ({"family": "residual", "depth": 1}, "not 1; nearest valid: 8$"),
        ({"family": "wide", "depth": 20}, "6n\\+4 layers, not 20; nearest valid: 16 or 22"),
        ({"family": "wide", "dropout": 1.5}, r"architecture\.dropout: .*less than or equal to 1, not 1\.5"),
        ({"family": "plain"}, "exactly one of `depth` .* and `widths`"),
        ({"family": "plain", "depth": 2, "widths": [4]}, "exactly one of `depth` .* and `widths`"),
        ({"family": "plain", "widths": []}, "exactly one of `depth` .* and `widths`"),
        ({"family": "plain", "depth": 3}, r"architecture\.depth: .*2, 4, 6, 8 or 10, not 3"),
    ],
)
def test_what_does_not_fit_is_refused_by_key(architecture, message):
    with pytest.raises(UserError, match=message):
        build(architecture, channels=1, size=8, classes=4)
