"""Accuracy against what a network costs: bytes, operations, time; and which networks no other beats at both."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pipeline.report.run import Entry, Reported
from pipeline.report.section import Figure, PageSection, Table
from pipeline.report.svg import Frame, around, dot, path, picture, placed, tag, text
from pipeline.report.words import listed, percent, quantity, shortened


@dataclass(frozen=True)
class Cost:
    """A price of a network: its key in metrics, its name, its unit; of a time the device that it was taken on."""

    key: str
    title: str
    unit: str
    device: str | None = None

    def of(self, entry: Entry, run: Reported) -> float | None:
        """What a network costs; an ensemble costs what its members cost together, as all of them run."""
        own = self._price(entry.metrics)
        if own is not None or "weights" in entry.node.provides:
            return own
        members = [run.entries[name] for name in entry.taught_by if name in run.entries]
        each = [self._price(member.metrics) for member in members]
        return sum(price for price in each if price is not None) if each and None not in each else None

    def _price(self, metrics: dict[str, Any]) -> float | None:
        """A figure of a node; its latency also where it was measured in the runtime that ships."""
        if self.device is None:
            return metrics.get(self.key)
        cost = metrics["cost"]
        if cost.get("timed_on") != self.device:
            return None
        milliseconds = cost.get(self.key) or cost.get("latency", {}).get("batch_1", {}).get("ms")
        return milliseconds / 1000 if milliseconds else None


COSTS = (Cost("bytes", "Size on disk", "B"), Cost("flops", "Operations an image", "FLOP"))


def costs(run: Reported) -> list[Cost]:
    """All prices; times once a device, as those of two do not compare."""
    devices = {entry.metrics["cost"].get("timed_on") for entry in run.networks} - {None}
    return [*COSTS, *(Cost("latency_ms", f"Time an image on {device}", "s", device) for device in sorted(devices))]


@dataclass(frozen=True)
class Point:
    """A network's price and its test accuracy."""

    name: str
    family: str
    cost: float
    accuracy: float
    front: bool = False


def points(run: Reported, cost: Cost) -> list[Point]:
    """All networks whose price is known, those on the Pareto front marked."""
    priced = [(entry, cost.of(entry, run)) for entry in run.networks if entry.test is not None]
    plain = [Point(e.name, e.family, price, e.test or 0.0) for e, price in priced if price]
    return mark(plain)


def mark(plain: Sequence[Point]) -> list[Point]:
    """Mark the front: points than which no other is as good and cheaper, or as cheap and better.

    Of equal points all are on it.
    """

    def beaten(p: Point) -> bool:
        return any(
            q.cost <= p.cost and q.accuracy >= p.accuracy and (q.cost, q.accuracy) != (p.cost, p.accuracy)
            for q in plain
        )

    return [Point(p.name, p.family, p.cost, p.accuracy, not beaten(p)) for p in plain]


def chart(cost: Cost, found: Sequence[Point]) -> Markup:
    """Accuracy over price, on a logarithmic axis, with the front as steps."""
    frame = Frame(320, 270, left=30, bottom=42)
    low, high = min(p.cost for p in found), max(p.cost for p in found)
    x = frame.x(low / 1.5, high * 1.5, log=True)
    y = frame.y(*around([p.accuracy for p in found], 0.02, 0, 1.005))
    ticks = [(tick, quantity(tick, cost.unit)) for tick in x.ticks(3)]
    front = sorted((p for p in found if p.front), key=lambda p: (p.cost, p.accuracy))
    steps: list[tuple[float, float]] = []
    for p in front:
        steps += [(x(p.cost), steps[-1][1] if steps else y(p.accuracy)), (x(p.cost), y(p.accuracy))]
    parts = [frame.shares(y), frame.columns(x, ticks, _lower(cost.title))]
    parts.append(path([*steps, (frame.edge, steps[-1][1])], "front"))
    for p in sorted(found, key=lambda p: p.front):
        words = tag("title", f"{p.name}: {percent(p.accuracy)} at {quantity(p.cost, cost.unit)}")
        class_ = f"dot {'on' if p.front else 'off'} f-{p.family}"
        parts.append(dot(x(p.cost), y(p.accuracy), 5.5 if p.front else 4, class_, words))
    named = [(x(p.cost), y(p.accuracy), shortened(p.name)) for p in _worth_a_label(found)]
    for (_, _, name), spot in zip(named, placed(named, frame.width, frame.floor), strict=True):
        if spot is not None:
            parts.append(text(spot[0], spot[1], name, "name", spot[2]))
    key, title = f"tradeoff-{cost.key.replace('_', '-')}", f"Test accuracy against {_lower(cost.title)}"
    if cost.device:
        key += "-" + re.sub(r"[^a-z0-9]+", "-", cost.device.lower())
    return picture(key, frame.width, frame.height, title, description(found), *parts)


def _lower(title: str) -> str:
    """A title within a sentence: a card keeps its name."""
    return title[:1].lower() + title[1:]


def description(found: Sequence[Point]) -> str:
    """Who is on the front, cheapest first."""
    front = sorted((p for p in found if p.front), key=lambda p: p.cost)
    return f"On the front: {listed(list(dict.fromkeys(p.name for p in front)))}."


def _worth_a_label(found: Sequence[Point]) -> list[Point]:
    """The front, then those that the page names."""
    known = ("teacher", "student", "baseline", "ensemble")
    order = [p for p in found if p.front] + [p for p in found if not p.front and p.name in known]
    first: dict[tuple[float, float], Point] = {}
    for p in order:
        first.setdefault((p.cost, p.accuracy), p)
    return list(first.values())


def figure(cost: Cost, found: Sequence[Point]) -> Figure:
    """The chart with its numbers, cheapest first."""
    table = Table(
        ("network", _lower(cost.title), "test", "on the front"),
        [
            (p.name, quantity(p.cost, cost.unit), percent(p.accuracy), "yes" if p.front else "")
            for p in sorted(found, key=lambda p: (p.cost, -p.accuracy))
        ],
    )
    return Figure(chart(cost, found), description(found), table)


def section(run: Reported) -> PageSection | None:
    """One chart a price; None where nothing has a price."""
    found = {cost: points(run, cost) for cost in costs(run)}
    figures = [(cost.title, figure(cost, those)) for cost, those in found.items() if those]
    if not figures:
        return None
    lead = "A network on the line is beaten by none that costs no more. All below it can be had better or cheaper."
    notes = (
        "Time is that of one image alone, in torch where the network was trained, or on a CPU in the runtime of the "
        "file that ships; times of one device stand together. "
        "An ensemble costs what all its members cost."
    )
    return PageSection("tradeoff", "What accuracy costs", lead, {"figures": figures, "notes": notes})
