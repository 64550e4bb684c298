"""What an optimiser keeps beside tensors of its parameters' type is saved to the bit, or refused."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from pipeline.base.errors import UserError
from pipeline.training.snapshot import Snapshot, collect, restore

CPU = torch.device("cpu")
LOSSES = torch.zeros(1)


class Odd(Optimizer):
    """Steps by all that it keeps: numbers, nested lists, tensors of other types, and groups that change over time."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": 0.1, "total": 0.0, "seen": (), "name": "odd"})

    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for group in self.param_groups:
            group["total"] += 1 / 3
            group["seen"] = (*group["seen"], group["total"])
            for parameter in group["params"]:
                mine = self.state[parameter]
                if not mine:
                    exact = torch.full_like(parameter, 0.1, dtype=torch.float64)
                    mine.update(count=0, rate=0.1, history=[[], {"last": 0.0}], exact=exact, steps=torch.tensor(2**40))
                mine["count"] += 1
                mine["steps"] += 1
                mine["rate"] *= 0.7
                mine["exact"] *= 1.1
                mine["history"][0].append(mine["rate"])
                mine["history"][1]["last"] += mine["rate"]
                factor = sum(mine["history"][0]) * mine["history"][1]["last"] / mine["count"] + group["total"]
                by = (mine["exact"] * factor * (mine["steps"] - 2**40)).float()
                parameter.data -= group["lr"] * by * parameter.grad


def made(optimizer: Callable[[Any], Optimizer] = Odd) -> tuple[nn.Module, Optimizer]:
    torch.manual_seed(0)
    net = nn.Linear(3, 2)
    return net, optimizer(net.parameters())


def steps(net: nn.Module, optimizer: Optimizer, count: int) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        net(torch.ones(4, 3)).square().sum().backward()
        optimizer.step()


def body(net: nn.Module, optimizer: Optimizer) -> bytes:
    snapshot = Snapshot(CPU)
    snapshot.take(collect(net, [optimizer], LOSSES), {})
    return b"".join(snapshot.body())


def described(value: Any) -> Any:
    """With types and bits, so that equal is equal."""
    if isinstance(value, Tensor):
        return value.dtype, value.tolist()
    if isinstance(value, dict):
        return [(key, described(each)) for key, each in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [described(each) for each in value]
    return type(value), repr(value)


@pytest.mark.parametrize("optimizer", [Odd, lambda each: SGD(each, 0.1, 0.9), AdamW])
def test_training_goes_on_to_the_bit(optimizer: Callable[[Any], Optimizer]) -> None:
    whole, through = made(optimizer)
    steps(whole, through, 6)
    first, half = made(optimizer)
    steps(first, half, 3)
    saved, before = body(first, half), described(half.state_dict())
    again, fresh = made(optimizer)
    restore(saved, again, [fresh], LOSSES)
    assert sorted(described(fresh.state_dict()["state"][0])) == sorted(described(half.state_dict()["state"][0]))
    assert described(fresh.state_dict()["param_groups"]) == before[1][1]
    steps(again, fresh, 3)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    "value", [0.1 + 0.2, -0.0, math.inf, math.nan, 2**70, True, None, "x", (), [(1, 1.0)], {1: []}]
)
def test_each_plain_value_comes_back_as_it_was(value: Any) -> None:
    net, optimizer = made()
    steps(net, optimizer, 1)
    optimizer.state[next(net.parameters())]["value"] = value
    optimizer.param_groups[0]["value"] = value
    saved = body(net, optimizer)
    again, fresh = made()
    restore(saved, again, [fresh], LOSSES)
    assert described(fresh.state[next(again.parameters())]["value"]) == described(value)
    assert described(fresh.param_groups[0]["value"]) == described(value)


@pytest.mark.parametrize("value", [[torch.ones(1)], {1}, object(), 1j, b"x"], ids=lambda each: type(each).__name__)
def test_what_cannot_be_saved_is_refused(value: Any) -> None:
    net, optimizer = made()
    steps(net, optimizer, 1)
    optimizer.state[next(net.parameters())]["value"] = value
    with pytest.raises(UserError, match=r"^Odd\..*value.* is of type \w+, which saved training cannot hold"):
        collect(net, [optimizer], LOSSES)


def test_state_of_no_parameter_is_refused() -> None:
    net, optimizer = made()
    optimizer.state["whole"] = {"count": 1}  # pyright: ignore[reportArgumentType]
    with pytest.raises(UserError, match=r"^Odd keeps 'whole' apart from its parameters"):
        collect(net, [optimizer], LOSSES)


def test_a_snapshot_of_tensors_alone_is_still_read() -> None:
    """As releases wrote that saved nothing else of an optimiser."""
    net, optimizer = made(AdamW)
    steps(net, optimizer, 2)
    older = save({name: each for name, each in load(body(net, optimizer)).items() if name != "optimizer.0"})
    again, fresh = made(AdamW)
    restore(older, again, [fresh], LOSSES)
    steps(net, optimizer, 1)
    steps(again, fresh, 1)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
