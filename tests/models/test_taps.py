"""Outputs collected by hooks, for as long as the block lasts."""

import pytest
import torch
from torch import nn

from pipeline.base.errors import UserError
from pipeline.models.build import build
from pipeline.models.taps import shapes, tapped


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2)))


def test_outputs_carry_gradients_and_the_last_pass_stays():
    model = net()
    x_BD, other_BD = torch.randn(5, 3), torch.randn(2, 3)
    with tapped(model, ["0", "1.0"]) as outputs:
        assert outputs == {}
        model(other_BD)
        model(x_BD)
    assert list(outputs) == ["0", "1.0"]
    assert torch.equal(outputs["0"], model[0](x_BD))
    assert torch.equal(outputs["1.0"], model[0](x_BD).relu())
    outputs["1.0"].sum().backward()
    assert model[0].weight.grad is not None


def test_no_hook_outlives_the_block():
    model = net()
    with pytest.raises(ZeroDivisionError), tapped(model, ["0"]) as outputs:
        raise ZeroDivisionError
    model(torch.randn(1, 3))
    assert outputs == {}


@pytest.mark.parametrize("name", ["1.7", "layer"])
def test_an_unknown_layer_is_refused_and_leaves_no_hook(name: str):
    model = net()
    with pytest.raises(UserError, match=f"unknown layer '{name}'"), tapped(model, ["0", name]):
        pass
    assert not model[0]._forward_hooks


def test_a_layer_that_gives_no_tensor_is_refused():
    model = nn.Sequential(nn.LSTM(3, 2))
    with tapped(model, ["0"]), pytest.raises(UserError, match="layer '0' gives a tuple, not a tensor"):
        model(torch.randn(2, 4, 3))


@pytest.mark.parametrize("training", [True, False])
def test_looking_at_shapes_leaves_a_network_as_it_was(training: bool):
    model = build({"family": "plain", "widths": [4, 8]}, channels=1, size=8, classes=3).train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = {name: tuple(shape) for name, shape in shapes(model, 1, 8).items()}
    assert found == {"stage1": (4, 4, 4), "stage2": (8, 2, 2), "embedding": (8,), "logits": (3,)}
    assert all(module.training == training for module in model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
