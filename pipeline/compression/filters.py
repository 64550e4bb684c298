"""Structured pruning: whole filters go, and tensors really shrink."""

import copy
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from typing import Any

from torch import nn

from pipeline.base.errors import UserError, innermost
from pipeline.base.signals import TookTooLong, limited
from pipeline.compression.coupling import Place, Unit, cut, least, units
from pipeline.compression.target import absolute, check_runs, measure, only
from pipeline.config.numbers import Count, Share

PATIENCE = 120.0  # seconds for following the channels once: a whole pruning of a Swin-T took 12
INSTEAD = "set what to weights and give sparsity, which keeps the shapes"


def shrink(
    model: nn.Module,
    *,
    channels: int,
    size: int,
    sparsity: Share | None = None,
    parameters: Count | Share | None = None,
    flops: Count | Share | None = None,
    rounds: Count = 1,
) -> nn.Module:
    """A copy of `model` without its least important channels, all layers compared; exactly one target is given.

    Args:
        model: For images (B, channels, size, size).
        sparsity: Share of the channels to remove, to the nearest whole number; channels that only go together
            count as one.
        parameters: How many may stay: a whole number, or a share of what there are.
        flops: For one image, likewise.
        rounds: In how many equal rounds to get there; importance is looked at anew in each.

    Raises:
        UserError: The target cannot be reached, or channels cannot be taken out of this network.
    """
    target: dict[str, Any] = {"sparsity": sparsity, "parameters": parameters, "flops": flops}
    try:
        return _shrunk(model, channels, size, target, rounds)
    except (UserError, MemoryError, OSError):
        raise
    except Exception as error:  # of whatever class: what follows channels stumbles over what it does not know
        raise UserError(
            f"prune: the channels of this architecture cannot be followed ({innermost(error)}): {INSTEAD}"
        ) from error


def _shrunk(model: nn.Module, channels: int, size: int, target_of: dict[str, Any], rounds: int) -> nn.Module:
    name, target = only("prune", **target_of)
    model = copy.deepcopy(model)
    count = (lambda each: len(_followed(each, channels, size))) if name == "sparsity" else measure(name, channels, size)
    before = count(model)
    goal = before - round(target * before) if name == "sparsity" else absolute(target, before)
    for number in range(1, rounds + 1):
        aim = before - (before - goal) * number // rounds
        found = _followed(model, channels, size)
        removable = _removable(model, found)
        remaining = len(found) if name == "sparsity" else None
        needed = _enough(model, removable, aim, count, remaining)
        if needed is None:
            floor = len(found) - len(removable) if remaining else count(cut(model, removable))
            raise UserError(
                f"params.yaml, compress.steps: prune.{name} {target} leaves {goal:,} "
                f"{'channels' if remaining else name} of {before:,}, but each layer keeps a channel: at least "
                f"{floor:,} stay"
            )
        model = cut(model, removable[:needed])
        check_runs(
            model,
            channels,
            size,
            "prune: this architecture does not run without some of its channels",
            INSTEAD,
        )
    return model


def _followed(model: nn.Module, channels: int, size: int) -> list[Unit]:
    """Its channels that only go together. Where tensors are flattened, torch-pruning may list millions of places."""
    try:
        with limited(PATIENCE):
            return units(model, channels, size)
    except TookTooLong:
        raise UserError(
            f"prune: following the channels of this architecture takes more than {PATIENCE / 60:.0f} minutes: {INSTEAD}"
        ) from None


def _removable(model: nn.Module, found: list[Unit]) -> list[Unit]:
    """Units by rising importance, but for those without which a layer would have no channel left."""
    left: Counter[Place] = Counter()
    for unit in found:
        left.update({place: len(indices) for place, indices in unit.places.items()})
    removable = []
    for unit in sorted(found, key=lambda unit: unit.importance):
        if all(left[place] - len(indices) >= least(model, place) for place, indices in unit.places.items()):
            removable.append(unit)
            left.subtract({place: len(indices) for place, indices in unit.places.items()})
    return removable


def _enough(
    model: nn.Module, removable: list[Unit], aim: int, count: Callable[[nn.Module], int], remaining: int | None
) -> int | None:
    """The smallest number of units to take out until no more than `aim` is left; None where all do not do.

    `remaining` is how many units there are, where it is they that count.
    """
    if remaining is not None:
        return remaining - aim if remaining - aim <= len(removable) else None
    number = bisect_left(range(len(removable) + 1), True, key=lambda n: count(cut(model, removable[:n])) <= aim)
    return number if number <= len(removable) else None
