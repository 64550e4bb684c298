"""Training curves: validation accuracy by epoch, one chart a family."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.lineage.curves import Curve, read_curve
from pipeline.report.run import Reported, number_of
from pipeline.report.section import Figure, PageSection, Table
from pipeline.report.svg import Frame, around, path, picture, spread, text
from pipeline.report.words import percent, shortened

GROUPS = {
    "The chain to the student": ("teacher", "assistant", "student", "baseline", "direct"),
    "Refinery": ("baseline", "refinery"),
    "Born-again": ("teacher", "born_again"),
    "Methods": ("baseline", "method"),
    "Mutual learning": ("baseline", "mutual"),
    "Compression": ("student", "compress"),
}
POINTS = 120  # of one line: more cannot be seen
SPOKEN = 3  # lines with a name


@dataclass(frozen=True)
class Line:
    """Validation accuracy of a network by epoch; `share` tells generations of one family apart, 0 .. 1."""

    name: str
    family: str
    epochs: list[float]
    accuracy: list[float]
    share: float = 1.0

    @property
    def best(self) -> float:
        """The highest accuracy on the way."""
        return max(self.accuracy)


def lines(run: Reported, families: Sequence[str]) -> list[Line]:
    """The curves of some families, thinned to what can be seen; networks that trained no epoch are left out."""
    found = []
    for entry in run.networks:
        if entry.family not in families:
            continue
        curve = read_curve(entry.node.source)
        kept = _seen(curve)
        if not kept:
            continue
        longest = max((number_of(e.name) for e in run.networks if e.family == entry.family), default=1)
        share = number_of(entry.name) / longest if "/" in entry.name and longest else 1.0
        accuracy = curve["validation_accuracy"]
        found.append(
            Line(entry.name, entry.family, [curve["epoch"][i] for i in kept], [accuracy[i] for i in kept], share)
        )
    return found


def _seen(curve: Curve) -> list[int]:
    """Rows with an accuracy: the first, the last, and evenly between."""
    rows = [i for i, value in enumerate(curve.get("validation_accuracy", [])) if math.isfinite(value)]
    step = max(1, math.ceil(len(rows) / POINTS))
    return sorted({*rows[::step], *rows[-1:]})


def chart(title: str, found: Sequence[Line]) -> Markup:
    """All lines over each other, the main ones named at their ends."""
    frame = Frame(390, 260, right=100, bottom=40)
    low = min(min(each.accuracy[len(each.accuracy) // 8 :]) for each in found)
    y = frame.y(*around([low, *(each.best for each in found)], 0.02, 0, 1))
    x = frame.x(0, max(each.epochs[-1] for each in found))
    many = len(found) > 10
    named = sorted(found, key=lambda each: -each.accuracy[-1])[:SPOKEN] if many else list(found)
    named += [each for each in found if each.name == "baseline" and each not in named]
    parts = [
        frame.shares(y),
        frame.columns(x, [(t, f"{t:g}") for t in x.ticks()], "epoch"),
    ]
    for each in sorted(found, key=lambda each: each in named):
        class_ = f"curve f-{each.family}" + (" faint" if many and each not in named else "")
        # The first epochs, near chance, would press all that matters into the top of the chart.
        first = next((i for i, a in enumerate(each.accuracy) if a >= y.low), 0)
        points = [(x(e), y(max(a, y.low))) for e, a in zip(each.epochs[first:], each.accuracy[first:], strict=True)]
        opacity = None if many else 0.4 + 0.6 * each.share
        parts.append(path(points, class_, opacity))
    heights = spread([y(each.accuracy[-1]) for each in named])
    parts += [
        text(frame.edge + 6, height + 4, _label(each.name), f"end f-{each.family}")
        for each, height in zip(named, heights, strict=True)
    ]
    key = "curves-" + title.lower().replace(" ", "-")
    return picture(key, frame.width, frame.height, f"{title}: validation accuracy by epoch", description(found), *parts)


def description(found: Sequence[Line]) -> str:
    """Where the lines end."""
    last = sorted(found, key=lambda each: each.accuracy[-1])
    low, high = percent(last[0].accuracy[-1]), percent(last[-1].accuracy[-1])
    return f"{last[-1].name} ends highest, at {high}." + (f" The lowest ends at {low}." if len(last) > 1 else "")


def _label(name: str) -> str:
    return shortened(name.split("/")[-1] if name.startswith("method/") else name, 15)


def figure(title: str, found: Sequence[Line]) -> Figure:
    """The chart with its numbers."""
    rows = [(each.name, f"{each.epochs[-1]:g}", percent(each.accuracy[-1]), percent(each.best)) for each in found]
    table = Table(("network", "epochs", "last", "best on the way"), rows)
    return Figure(chart(title, found), description(found), table)


def section(run: Reported) -> PageSection | None:
    """One chart a family that trained; None where nothing did."""
    figures = []
    for title, families in GROUPS.items():
        found = lines(run, families)
        if any(each.family == families[-1] or title == "The chain to the student" for each in found):
            figures.append((title, figure(title, found)))
    if not figures:
        return None
    lead = "Validation accuracy, epoch by epoch. What is exported is the last epoch, not the best one on the way."
    return PageSection("curves", "How they learned", lead, {"figures": figures})
