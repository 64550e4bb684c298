"""The shapes that the papers and the pilots give each family."""

from typing import Literal

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pipeline.models import plain, residual, wide
from pipeline.models.taps import tapped
from tests.models.nets import parameters


def test_the_pilot_student_has_438_parameters():
    assert parameters(plain.build(channels=1, size=8, classes=10, widths=(4, 8))) == 438


@pytest.mark.parametrize(("width", "count"), [(16, 75_002), (4, 4_934)])
def test_the_pilot_residual_nets_have_75k_and_4_9k_parameters(width: int, count: int):
    assert parameters(residual.build(channels=1, size=8, classes=10, depth=8, width=width)) == count


def test_resnet_20_has_the_parameters_of_the_paper():
    """He et al. 2016, table 6: 0.27 M for 20 layers, 0.85 M for 56."""
    assert parameters(residual.build(channels=3, size=32, classes=10, depth=20)) == 269_722
    assert round(parameters(residual.build(channels=3, size=32, classes=10, depth=56)) / 1e6, 2) == 0.85


def test_wide_nets_have_the_parameters_of_the_paper():
    """Zagoruyko & Komodakis 2016, table 4: 0.6 M for WRN-40-1, 2.2 M for WRN-40-2; 11 M for WRN-16-8."""
    counts = [
        parameters(wide.build(channels=3, size=32, classes=10, depth=depth, widen=widen))
        for depth, widen in [(40, 1), (40, 2), (16, 8)]
    ]
    assert [round(count / 1e6, 1) for count in counts] == [0.6, 2.2, 11.0]


def test_a_wide_net_drops_out_only_in_training():
    torch.manual_seed(0)
    net = wide.build(channels=1, size=8, classes=3, depth=10, widen=1, dropout=0.5)
    x_BCHW = torch.randn(2, 1, 8, 8)
    assert not torch.equal(net(x_BCHW), net(x_BCHW))
    net.eval()
    assert torch.equal(net(x_BCHW), net(x_BCHW))


@pytest.mark.parametrize(("depth", "convolutions"), [(2, 2), (4, 4), (6, 6), (8, 8), (10, 10)])
def test_depth_counts_convolutions(depth, convolutions):
    net = plain.build(channels=3, size=32, classes=10, depth=depth)
    assert sum(isinstance(module, nn.Conv2d) for module in net.modules()) == convolutions
    poolings = sum(isinstance(module, nn.MaxPool2d) for module in net.modules())
    assert poolings == len(plain.DEPTHS[depth][0])


@pytest.mark.parametrize(("size", "poolings"), [(8, 3), (15, 3), (16, 4), (1, 0)])
def test_a_map_of_one_pixel_is_not_pooled(size: int, poolings: int):
    net = plain.build(channels=1, size=size, classes=3, depth=10)
    assert sum(isinstance(module, nn.MaxPool2d) for module in net.modules()) == poolings
    assert net(torch.randn(2, 1, size, size)).shape == (2, 3)


def test_a_residual_shortcut_takes_every_second_pixel_and_pads_channels():
    block = residual.Block(2, 4, stride=2)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    x_BCHW = torch.rand(1, 2, 5, 5)
    out_BCHW = block(x_BCHW)
    assert torch.equal(out_BCHW[:, :2], x_BCHW[:, :, ::2, ::2])
    assert not out_BCHW[:, 2:].any()


def test_a_wide_shortcut_that_changes_the_width_is_of_the_activated_input():
    """Zagoruyko & Komodakis's code: norm and ReLU are shared by both ways."""
    block = wide.WideBlock(2, 4, stride=2, dropout=0.0).eval()
    for convolution in (block.body[0], block.body[4]):
        nn.init.zeros_(convolution.get_parameter("weight"))
    x_BCHW = torch.randn(3, 2, 6, 6)
    assert block.shortcut is not None
    weight_OI = block.shortcut.weight[:, :, 0, 0]
    active_BCHW = x_BCHW.clamp(min=0) / (1 + 1e-5) ** 0.5  # a fresh norm: mean 0, variance 1
    expected = torch.einsum("oi,bihw->bohw", weight_OI, active_BCHW[:, :, ::2, ::2])
    torch.testing.assert_close(block(x_BCHW), expected)


@pytest.mark.parametrize("depth", [8, 10])
def test_the_hidden_layer_of_a_deep_plain_net_is_activated(depth: Literal[8, 10]):
    torch.manual_seed(0)
    net = plain.build(channels=1, size=16, classes=3, depth=depth)
    with tapped(net, ["embedding"]) as outputs:
        net(torch.randn(8, 1, 16, 16))
    assert float(outputs["embedding"].detach().min()) == 0


def test_what_a_tap_holds_is_not_changed_by_the_layers_after_it():
    """An in-place ReLU after a stage would rewrite what the tap holds."""
    net = wide.build(channels=1, size=8, classes=3, depth=10, widen=1)
    with tapped(net, ["stage1", "stage3", "activation"]) as outputs:
        net(torch.randn(4, 1, 8, 8))
    assert float(outputs["stage1"].detach().min()) < 0
    norm, _ = net.get_submodule("activation").children()
    again_BCHW = F.relu(norm(outputs["stage3"]))
    torch.testing.assert_close(again_BCHW, outputs["activation"])
