"""Structured pruning, of every family."""

import copy
import json
import time
from statistics import fmean
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pipeline.base.errors import UserError
from pipeline.compression import filters
from pipeline.compression.coupling import Unit, cut, units
from pipeline.compression.factorise import factorise
from pipeline.compression.filters import shrink
from pipeline.evaluation import cost
from pipeline.models.surgery import describe, rebuild
from pipeline.models.taps import shapes
from tests.compression.nets import ARCHITECTURES, CHANNELS, DATA, SIZE, images, plain, trained

pytest.importorskip("torch_pruning", reason="torch-pruning is not installed")

SIX = pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)


def silence(net: nn.Module, unit: Unit) -> None:
    """Let a unit's channels be zero wherever they are written."""
    with torch.no_grad():
        for (name, side), indices in unit.places.items():
            if side == "out" and not name.endswith(".extra"):
                for tensor in net.get_submodule(name).parameters():
                    tensor[list(indices)] = 0
                if isinstance(module := net.get_submodule(name), nn.BatchNorm2d):
                    assert module.running_mean is not None
                    module.running_mean[list(indices)] = 0


@SIX
@pytest.mark.parametrize("every", [2, 3])
def test_taking_out_channels_that_are_zero_changes_nothing(architecture: dict[str, Any], every: int):
    """The proof that what goes together was found: a channel that is missed, or one too many, shifts an output."""
    net = trained(architecture)
    chosen = units(net, **DATA)[::every]
    for unit in chosen:
        silence(net, unit)
    small = cut(net, chosen)
    assert cost.parameters(small) < 0.8 * cost.parameters(net)
    torch.testing.assert_close(small(images()), net(images()), rtol=1e-4, atol=1e-5)


@SIX
def test_units_are_disjoint_and_cover_all_inner_channels(architecture: dict[str, Any]):
    net = trained(architecture)
    places = [
        (place, index) for unit in units(net, **DATA) for place, indices in unit.places.items() for index in indices
    ]
    assert len(places) == len(set(places))
    written = {(name, index) for (name, side), index in places if side == "out"}
    inner = {
        (name, index)
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d)
        for index in range(module.out_channels)
    }
    assert inner <= written
    assert not any(name == "linear" for name, _ in written), "classes stay"


@SIX
@pytest.mark.parametrize("target", [{"parameters": 0.5}, {"flops": 0.5}], ids=str)
def test_cost_falls_to_the_target_and_hardly_below(architecture: dict[str, Any], target: dict[str, Any]):
    net = trained(architecture)
    ((name, share),) = target.items()
    count = cost.parameters if name == "parameters" else lambda each: cost.flops(each, CHANNELS, SIZE)
    small = shrink(net, **DATA, **target)
    assert 0.8 * share * count(net) < count(small) <= share * count(net)
    assert small(images()).shape == net(images()).shape
    assert [*shapes(small, **DATA)] == [*shapes(net, **DATA)], "the taps are still there"


@SIX
@pytest.mark.parametrize("rounds", [1, 3])
def test_sparsity_is_exact_in_channels(architecture: dict[str, Any], rounds: int):
    net = trained(architecture)
    before = len(units(net, **DATA))
    small = shrink(net, **DATA, sparsity=0.4, rounds=rounds)
    assert len(units(small, **DATA)) == before - round(0.4 * before)


@SIX
def test_a_pruned_network_is_rebuilt_from_json_alone(architecture: dict[str, Any]):
    small = shrink(trained(architecture), **DATA, parameters=0.4)
    text = json.dumps(describe(small, plain(architecture)))
    again = rebuild(plain(architecture), json.loads(text))
    again.load_state_dict(small.state_dict())
    assert torch.equal(again.eval()(images()), small(images()))
    assert cost.parameters(again) == cost.parameters(small) < cost.parameters(plain(architecture))


@pytest.mark.long
@settings(max_examples=12, deadline=None)
@given(st.floats(0.05, 0.8), st.sampled_from(ARCHITECTURES), st.integers(1, 3))
def test_any_sparsity_leaves_a_network_that_runs_and_can_be_pruned_again(sparsity: float, architecture, rounds: int):
    net = trained(architecture)
    try:
        small = shrink(net, **DATA, sparsity=sparsity, rounds=rounds)
    except UserError as error:
        assert sparsity > 0.5
        assert "at least" in str(error)
        return
    assert small(images()).isfinite().all()
    smaller = shrink(small, **DATA, sparsity=0.1)
    assert cost.parameters(smaller) <= cost.parameters(small) <= cost.parameters(net)


@pytest.mark.parametrize("architecture", ARCHITECTURES[:2], ids=str)
def test_importance_is_the_mean_over_layers_of_the_share_of_their_weights(architecture: dict[str, Any]):
    """Fang et al. 2023, section 4.3, channel by channel: squared norms, where a layer's mean channel has 1."""
    net = trained(architecture)
    for unit in units(net, **DATA):
        shares = []
        for (name, side), indices in unit.places.items():
            layer = net.get_submodule(name)
            if isinstance(layer, nn.BatchNorm2d):
                continue
            weight = layer.get_parameter("weight").detach().double()
            channels = weight.unbind(0 if side == "out" else 1)
            norms = [sum(value**2 for value in channel.flatten().tolist()) for channel in channels]
            shares.append(fmean(norms[index] for index in indices) / fmean(norms))
        assert unit.importance == pytest.approx(fmean(shares))


def test_two_rounds_are_two_prunings_one_after_the_other():
    """Half the way, then a new look at what is important. One round takes others."""
    net = trained(ARCHITECTURES[1])
    before = cost.parameters(net)
    half, goal = before - (before - before // 2) // 2, before // 2
    expected = shrink(shrink(net, **DATA, parameters=half), **DATA, parameters=goal).state_dict()
    found = shrink(net, **DATA, parameters=goal, rounds=2).state_dict()
    assert {name: tensor.shape for name, tensor in found.items()} == {n: t.shape for n, t in expected.items()}
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())
    at_once = shrink(net, **DATA, parameters=goal).state_dict()
    assert any(not torch.equal(tensor, expected[name]) for name, tensor in at_once.items() if tensor.ndim)


def test_the_least_important_filters_go():
    net = trained(ARCHITECTURES[0])
    weak = units(net, **DATA)[1::3]
    with torch.no_grad():
        for unit in weak:
            for (name, side), indices in unit.places.items():
                weight = net.get_submodule(name).get_parameter("weight")
                (weight if side == "out" else weight.transpose(0, 1))[list(indices)] *= 1e-3
    small = shrink(net, **DATA, sparsity=len(weak) / len(units(net, **DATA)))
    expected = cut(net, weak)
    assert small.state_dict().keys() == expected.state_dict().keys()
    assert all(torch.equal(tensor, expected.state_dict()[name]) for name, tensor in small.state_dict().items())


def test_the_model_is_left_as_it_is_and_the_result_is_the_same_each_time():
    net = trained(ARCHITECTURES[2])
    before = copy.deepcopy(net.state_dict())
    one, two = (shrink(net, **DATA, flops=0.6) for _ in range(2))
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert all(torch.equal(tensor, two.state_dict()[name]) for name, tensor in one.state_dict().items())


def test_a_whole_number_is_a_number_of_parameters():
    assert 1_000 < cost.parameters(shrink(trained(ARCHITECTURES[1]), **DATA, parameters=2_000)) <= 2_000


def test_a_factorised_network_can_be_pruned_and_rebuilt():
    architecture = ARCHITECTURES[2]
    thin, _ = factorise(trained(architecture), **DATA, energy=0.8)
    small = shrink(thin, **DATA, parameters=0.5)
    again = rebuild(plain(architecture), describe(small, plain(architecture)))
    again.load_state_dict(small.state_dict())
    assert torch.equal(again.eval()(images()), small(images()))


@pytest.mark.parametrize("name", ["resnet18", pytest.param("mobilenet_v2", marks=pytest.mark.long)])
def test_networks_of_torchvision_shrink_and_are_rebuilt(name: str):
    architecture = {"family": "torchvision", "name": name, "pretrained": False}
    net = plain(architecture).eval()
    small = shrink(net, **DATA, sparsity=0.5)
    assert cost.parameters(small) < 0.5 * cost.parameters(net)
    again = rebuild(plain(architecture), describe(small, plain(architecture)))
    again.load_state_dict(small.state_dict())
    assert torch.equal(again.eval()(images()), small(images()))
    assert [*shapes(again, **DATA)] == [*shapes(net, **DATA)]


def test_channels_that_cannot_be_followed_are_named():
    net = plain({"family": "torchvision", "name": "shufflenet_v2_x0_5", "pretrained": False})
    with pytest.raises(UserError, match="cannot be followed"):
        shrink(net, **DATA, sparsity=0.5)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"parameters": 10}, "leaves 10 parameters of .*, but each layer keeps a channel: at least"),
        ({"flops": 10}, "leaves 10 flops of .*, but each layer keeps a channel: at least"),
        ({"sparsity": 1.0}, "leaves 0 channels of .*, but each layer keeps a channel: at least"),
        ({}, "exactly one of sparsity, parameters, flops, not none"),
        ({"sparsity": 0.5, "flops": 0.5}, "exactly one of sparsity, parameters, flops, not sparsity, flops"),
    ],
)
def test_a_target_that_cannot_be_reached_is_one_sentence(target: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message):
        shrink(trained(ARCHITECTURES[2]), **DATA, **target)


@pytest.mark.parametrize("where", ["units", "cut"])
def test_what_cannot_be_followed_is_one_sentence(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever class of error that is, as of layers that torch-pruning takes for others."""

    def stumble(*_: object) -> None:
        raise IndexError("index 128 is out of bounds")

    monkeypatch.setattr(filters, where, stumble)
    wanted = (
        r"prune: the channels of this architecture cannot be followed \(.*index 128 .*: set what to weights and give"
    )
    with pytest.raises(UserError, match=wanted):
        shrink(trained(ARCHITECTURES[2]), **DATA, flops=0.7)


def test_a_search_without_an_end_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def search(*_: object) -> None:
        while True:
            time.sleep(0.01)

    monkeypatch.setattr(filters, "units", search)
    monkeypatch.setattr(filters, "PATIENCE", 0.05)
    with pytest.raises(UserError, match=r"prune: following the channels .* takes more than 0 minutes: set what to"):
        shrink(trained(ARCHITECTURES[2]), **DATA, flops=0.7)
