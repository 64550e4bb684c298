"""Arms measured in turn, and figures made of their ratios.

A machine that others use, too, is now fast and now slow: only what ran side by side can be compared. Arms alternate
in short units, each round in another order; a figure is the median of the rounds' ratios, with its quartiles.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

import torch

Unit = Callable[[], object]
Seconds = dict[str, list[float]]


@dataclass(frozen=True)
class Figure:
    """One number against its goal.

    Attributes:
        name: What was measured.
        value: The median; `low` and `high` are its quartiles. None where it could not be measured.
        goal: The bound that it should keep.
        most: Whether the goal is the most that is good; else it is the least.
        unit: Of value and goal; empty for a ratio.
        note: Why there is no value, or what else is worth knowing.
        seconds: Median seconds of a unit, by arm.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    goal: float | None = None
    most: bool = True
    unit: str = ""
    note: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the goal is kept; None where there is no value or no goal."""
        if self.value is None or self.goal is None:
            return None
        return self.value <= self.goal if self.most else self.value >= self.goal


def clock() -> Callable[[], float]:
    """Seconds of this process: on a CPU those that it computed, which leave out what others took of the core.

    On a GPU those of the clock on the wall, after all work that was asked for is done.
    """
    if not torch.cuda.is_available():
        return time.process_time

    def now() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return now


def interleaved(arms: Mapping[str, Unit], rounds: int, now: Callable[[], float] | None = None) -> Seconds:
    """Run a unit of each arm in turn, `rounds` times after one that warms up; seconds of each unit, by arm."""
    now = now or clock()
    for unit in arms.values():
        unit()
    found: Seconds = {name: [] for name in arms}
    for number in range(rounds):
        names = list(arms)[:: 1 if number % 2 else -1]
        for name in names:
            began = now()
            arms[name]()
            found[name].append(now() - began)
    return found


def ratio(name: str, seconds: Seconds, above: str, below: str, *, goal: float | None = None, **more: Any) -> Figure:
    """The figure of one arm's seconds over another's, round by round."""
    found = [a / b for a, b in zip(seconds[above], seconds[below], strict=True)]
    return of(name, found, seconds={arm: median(each) for arm, each in seconds.items()}, goal=goal, **more)


def of(name: str, values: list[float], **more: Any) -> Figure:
    """The figure of values that were measured one by one."""
    low, _, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return Figure(name, median(values), low, high, **more)


def lines(figures: list[Figure]) -> list[tuple[str, ...]]:
    """Cells of the table: header first, then one line a figure."""
    cells: list[tuple[str, ...]] = [("step", "measured", "quartiles", "goal", "met", "")]
    for each in figures:
        bound = "" if each.goal is None else f"{'≤' if each.most else '≥'} {each.goal:g}{each.unit}"
        met = {True: "yes", False: "no", None: ""}[each.met]
        spread = "" if each.low is None or each.high is None else f"{each.low:.3g} … {each.high:.3g}"
        value = "not measured" if each.value is None else f"{each.value:.3g}{each.unit}"
        cells.append((each.name, value, spread, bound, met, each.note))
    return cells


def table(benchmarks: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Cells of what several benchmarks wrote, header first; what misses its goal is bold."""
    cells: list[tuple[str, ...]] = [("python -m benchmarks …", "figure", "measured", "goal")]
    for benchmark in benchmarks:
        for value in benchmark["figures"]:
            figure = Figure(**value)
            _, measured, spread, bound, met, note = lines([figure])[1]
            shown = f"**{measured}**" if met == "no" else measured
            quartiles = f" [{spread.replace(' … ', ', ')}]" if spread and figure.low != figure.high else ""
            name = f"{figure.name} ({note})" if note else figure.name
            cells.append((benchmark["benchmark"], name, shown + quartiles, bound))
    return cells
