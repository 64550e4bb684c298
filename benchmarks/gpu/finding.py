"""What a check finds: one row of the table."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.measure import Figure


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What it was.
        value: What was measured; None where nothing was.
        unit: Of value and bound; empty for a ratio or a share.
        bound: What the value should keep.
        most: Whether the bound is the most that is right; else it is the least.
        ok: Whether it is right; None where there is no bound, or nothing was measured.
        sentence: What is wrong, why it was not run, or what else is worth knowing.
        part: Of the whole check; the runner fills it in.
    """

    name: str
    value: float | None = None
    unit: str = ""
    bound: float | None = None
    most: bool = True
    ok: bool | None = None
    sentence: str = ""
    part: str = ""

    @property
    def state(self) -> str:
        """In a word or two, for the table."""
        if self.ok is not None:
            return "right" if self.ok else "wrong"
        return "not run" if self.value is None else "measured"


@dataclass(frozen=True)
class Check:
    """A few seconds of work, which may fail alone: what it found before is kept."""

    name: str
    run: Callable[[], Iterable[Finding]]


def bounded(name: str, value: float, bound: float, sentence: str, unit: str = "") -> Finding:
    """A value that must not be above its bound; one that is not finite is wrong."""
    if not math.isfinite(value):
        return Finding(name, None, unit, bound, ok=False, sentence=f"It is not finite. {sentence}")
    return Finding(name, value, unit, bound, ok=value <= bound, sentence=sentence)


def equal(name: str, one: Mapping[str, Tensor], other: Mapping[str, Tensor], what: str) -> Finding:
    """Whether all tensors are the same to the last bit; the value counts those that are not."""
    common = one.keys() & other.keys()
    odd = [key for key in {**one, **other} if key not in common or not torch.equal(one[key], other[key])]
    sentence = f"{what} differ in {len(odd)} of {len(one)} tensors, first in {odd[0]}." if odd else ""
    return Finding(name, len(odd), " tensors", 0, ok=not odd, sentence=sentence)


def of_figure(figure: Figure) -> Finding:
    """A benchmark's figure as a finding."""
    spread = "" if figure.low is None else f"Quartiles {figure.low:.3g} … {figure.high:.3g}."
    sentence = " ".join(filter(None, (spread, figure.note)))
    return Finding(figure.name, figure.value, figure.unit, figure.goal, figure.most, figure.met, sentence)
