"""Low-rank factorisation."""

import json
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.base.errors import UserError
from pipeline.compression import factorise as factorise_module
from pipeline.compression.factorise import _Layer, factorise
from pipeline.evaluation import cost
from pipeline.models.surgery import describe, rebuild
from tests.compression.nets import ARCHITECTURES, CHANNELS, DATA, SIZE, images, plain, trained

NETS = pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
CONVOLUTIONS = [
    nn.Conv2d(6, 8, 3, padding=1),
    nn.Conv2d(6, 8, 3, stride=2, padding=1, bias=False),
    nn.Conv2d(6, 8, (3, 1), padding="same", dilation=2),
    nn.Conv2d(6, 8, 1),
]


@pytest.mark.parametrize("old", CONVOLUTIONS, ids=str)
def test_a_convolution_at_full_rank_is_the_same(old: nn.Conv2d):
    x_BCHW = torch.randn(2, 6, 9, 9)
    layer = _Layer(old)
    torch.testing.assert_close(layer.factors(len(layer.s_K))(x_BCHW), old(x_BCHW), rtol=1e-4, atol=1e-5)


def test_a_linear_layer_at_full_rank_is_the_same():
    old = nn.Linear(7, 12)
    torch.testing.assert_close(_Layer(old).factors(7)(torch.ones(2, 7)), old(torch.ones(2, 7)), rtol=1e-4, atol=1e-5)


def test_weights_of_low_rank_are_kept_by_that_rank():
    net = nn.Sequential(nn.Flatten(), nn.Linear(SIZE * SIZE, 40))
    with torch.no_grad():
        net.get_parameter("1.weight").copy_(torch.randn(40, 3) @ torch.randn(3, SIZE * SIZE))
    small, report = factorise(net, **DATA, energy=0.999999)
    assert [(each.name, each.rank, each.full) for each in report] == [("1", 3, 40)]
    assert report[0].error < 1e-3
    torch.testing.assert_close(small(images()), net(images()), rtol=1e-3, atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 11), st.integers(0, 3))
def test_the_reported_error_is_that_of_the_weights(rank: int, which: int):
    old = nn.Conv2d(CHANNELS, 40, 6) if which else nn.Linear(SIZE, 40)
    net = nn.Sequential(old)
    ranked = _Layer(old).factors(rank)
    first, second = (module.get_parameter("weight").detach().flatten(1) for module in ranked.children())
    true = old.weight.detach().flatten(1)
    _, report = factorise(net, **DATA, rank=rank)
    assert report[0].error == pytest.approx(float((second @ first - true).norm() / true.norm()), abs=1e-5)
    assert report[0].rank == rank
    assert report[0].after == sum(weight.numel() for weight in (first, second)) < report[0].before == true.numel()


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1), st.sampled_from(ARCHITECTURES))
def test_energy_bounds_the_error_by_the_smallest_rank(energy: float, architecture):
    net = trained(architecture)
    _, report = factorise(net, **DATA, energy=energy)
    for each in report:
        assert 1 - each.error**2 >= energy - 1e-9
        if each.rank > 1:
            weight = net.get_submodule(each.name).get_parameter("weight").detach().double().flatten(1)
            squares = [value**2 for value in torch.linalg.svdvals(weight).tolist()]
            assert sum(squares[: each.rank - 1]) / sum(squares) < energy + 1e-9


@NETS
@pytest.mark.parametrize("measure", ["parameters", "flops"])
def test_cost_falls_to_the_target_with_the_least_loss(architecture: dict[str, Any], measure: str):
    net = trained(architecture)
    count = cost.parameters if measure == "parameters" else lambda each: cost.flops(each, CHANNELS, SIZE)
    lowest = count(factorise(net, **DATA, rank=1)[0])
    goal = (count(net) + lowest) // 2
    target: dict[str, Any] = {measure: goal}
    small, report = factorise(net, **DATA, **target)
    assert lowest <= count(small) <= goal
    kept = min(1 - each.error**2 for each in report)
    more, _ = factorise(net, **DATA, energy=min(kept + 0.1, 1.0))
    assert count(more) > goal


@NETS
def test_a_factorised_network_is_rebuilt_from_json_alone(architecture: dict[str, Any]):
    small, report = factorise(trained(architecture), **DATA, rank=2)
    description = json.loads(json.dumps(describe(small, plain(architecture))))
    assert [*description] == [each.name for each in report] != []
    again = rebuild(plain(architecture), description)
    again.load_state_dict(small.state_dict())
    assert torch.equal(again.eval()(images()), small(images()))


def test_what_does_not_save_is_left_and_so_are_grouped_convolutions():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 8, 3, groups=2), nn.Conv2d(8, 8, 1))
    small, report = factorise(net, **DATA, rank=6)
    assert not report
    assert describe(small, net) == {}
    assert [each.name for each in factorise(net, **DATA, rank=2)[1]] == ["0", "2"]


def test_only_the_named_layers_change():
    net = trained(ARCHITECTURES[2])
    _, report = factorise(net, **DATA, rank=1, layers=("stage2.0.body.0",))
    assert [each.name for each in report] == ["stage2.0.body.0"]
    with pytest.raises(UserError, match=r"did you mean 'stage2\.0\.body\.0'"):
        factorise(net, **DATA, rank=1, layers=("stage2.0.body.00",))


class _Reading(nn.Module):
    """Two linear layers, the weight of one of which it reads by itself, as some attention does."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.called = nn.Linear(SIZE, 40), nn.Linear(40, SIZE)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.called(F.linear(x_BCHW, self.read.weight))


@pytest.mark.parametrize("target", [{"rank": 2}, {"energy": 0.5}, {"parameters": 0.8}, {"flops": 0.8}], ids=str)
def test_a_layer_whose_weights_are_read_without_calling_it_is_left(target: dict[str, Any]) -> None:
    small, report = factorise(_Reading(), **DATA, **target)
    assert [each.name for each in report] == ["called"]
    small(images())
    with pytest.raises(UserError, match=r"unknown layer 'read'"):
        factorise(_Reading(), **DATA, rank=2, layers=("read",))


class _Looking(nn.Sequential):
    """It also looks at its first layer, as some do for its device."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).to(cast(nn.Linear, self[0]).weight.dtype)


@pytest.mark.parametrize("target", [{"rank": 2}, {"energy": 0.5}, {"parameters": 0.8}, {"flops": 0.8}], ids=str)
def test_a_layer_that_the_network_looks_at_stays_whole_and_is_named(
    target: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    net = _Looking(nn.Linear(SIZE, 40), nn.Linear(40, SIZE), nn.Linear(SIZE, SIZE)).train()
    before = {name: [*each.parameters()] for name, each in net.named_modules()}
    small, report = factorise(net, **DATA, **target)
    assert "1" in {each.name for each in report} <= {"1", "2"}
    assert capsys.readouterr().out == "factorise: left whole, as the network looks at them by itself: 0\n"
    small(images())
    assert {name: [*each.parameters()] for name, each in net.named_modules()} == before and net.training
    if target == {"parameters": 0.8}:
        assert cost.parameters(small) <= 0.8 * cost.parameters(net)


def test_a_network_that_does_not_run_in_two_is_one_sentence() -> None:
    class Odd(nn.Sequential):
        def forward(self, input: Tensor) -> Tensor:
            assert len([*self.modules()]) != 7, "two layers in two"
            return super().forward(input)

    with pytest.raises(UserError, match=r"architecture does not run with layers in two \(.*two layers in two"):
        factorise(Odd(nn.Linear(SIZE, 40), nn.Linear(40, SIZE)), **DATA, rank=2)


@pytest.mark.parametrize("measure", ["parameters", "flops"])
def test_the_search_counts_without_building(measure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it reckons is what the network has, which is built once."""
    built: list[int] = []
    build = factorise_module._applied
    monkeypatch.setattr(factorise_module, "_applied", lambda *given: built.append(1) or build(*given))
    net = trained(ARCHITECTURES[2])
    count = cost.parameters if measure == "parameters" else lambda each: cost.flops(each, CHANNELS, SIZE)
    before, target = count(net), {measure: 0.7}
    small, report = factorise(net, **DATA, **target)  # pyright: ignore[reportArgumentType]
    layers = factorise_module._decompose(net, None, CHANNELS, SIZE)
    assert built == [1]
    assert before - sum(layers[each.name].saved(measure, each.rank) for each in report) == count(small)


def test_weights_that_are_all_zero_have_no_error():
    net = nn.Sequential(nn.Linear(SIZE, SIZE))
    nn.init.zeros_(net.get_parameter("0.weight"))
    _, report = factorise(net, **DATA, energy=0.9)
    assert (report[0].rank, report[0].error) == (1, 0)


def test_a_target_that_holds_already_changes_nothing():
    net = trained(ARCHITECTURES[0])
    small, report = factorise(net, **DATA, parameters=10**6)
    assert not report
    assert small is not net
    assert describe(small, net) == {}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"parameters": 10}, "but even at rank 1 there are"),
        ({"flops": 0.001}, "but even at rank 1 there are"),
        ({}, "exactly one of rank, energy, parameters, flops, not none"),
        ({"rank": 2, "energy": 0.5}, "not rank, energy"),
    ],
)
def test_a_target_that_cannot_be_reached_is_one_sentence(target: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message):
        factorise(trained(ARCHITECTURES[0]), **DATA, **target)
