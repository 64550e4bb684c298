"""How far a network's confidence can be trusted: reliability diagrams.

Legend: N images, C classes, M bins.
"""

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from pipeline.report.run import Reported
from pipeline.report.section import Figure, PageSection, Table
from pipeline.report.svg import Frame, line, picture, rect, text
from pipeline.report.words import percent, shortened

SHOWN = ("teacher", "student", "ensemble", "baseline")
BINS = 15  # as `pipeline.evaluation.metrics.ece` has them


@dataclass(frozen=True)
class Reliability:
    """Images by confidence: how many in each bin, how sure the network is of them, how often it is right.

    confidence_M, accuracy_M: means; nan of an empty bin.
    """

    count_M: np.ndarray
    confidence_M: np.ndarray
    accuracy_M: np.ndarray

    @property
    def ece(self) -> float:
        """Expected calibration error: the gaps, each by its share of the images."""
        gap_M = np.abs(self.accuracy_M - self.confidence_M)
        return float(np.nansum(gap_M * self.count_M) / self.count_M.sum())

    @property
    def surplus(self) -> float:
        """Mean confidence less accuracy: above zero the network is too sure of itself."""
        return float(np.nansum((self.confidence_M - self.accuracy_M) * self.count_M) / self.count_M.sum())


def reliability(logits_NC: np.ndarray, y_N: np.ndarray, bins: int = BINS) -> Reliability:
    """Sort images by their largest probability into bins ((m - 1) / bins, m / bins]."""
    z_NC = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    confidence_N = z_NC.max(axis=1) / z_NC.sum(axis=1)
    right_N = (logits_NC.argmax(axis=1) == y_N).astype(float)
    bin_N = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence_N, side="left")
    count_M = np.bincount(bin_N, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(bin_N, values_N, minlength=bins) / count_M for values_N in (confidence_N, right_N)]
    return Reliability(count_M, *means)


def chart(name: str, family: str, found: Reliability) -> Markup:
    """Accuracy over confidence against the diagonal; below, how the images spread."""
    frame = Frame(260, 290, left=32, right=10, bottom=72)
    x, y = frame.x(0, 1), frame.y(0, 1)
    floor = frame.floor
    parts = [frame.rows(y, [(t, percent(t, 0)) for t in (0, 0.5, 1)]), line(x(0), y(0), x(1), y(1), "diagonal")]
    most = found.count_M.max()
    for m in np.flatnonzero(found.count_M).tolist():
        left, width = x(m / BINS) + 0.7, x(1 / BINS) - x(0) - 1.4
        top, sure = y(found.accuracy_M[m]), y(found.confidence_M[m])
        weight = float(found.count_M[m] / most)
        parts += [
            rect(left, top, width, floor - top, f"bar f-{family}", opacity=0.3 + 0.7 * weight**0.5),
            rect(left, min(top, sure), width, abs(top - sure), "gap"),
            rect(left, frame.height - 26 * (1 + weight), width, 26 * weight, "histogram"),
        ]
    base = frame.height - 26
    parts += [line(x(0), base, x(1), base, "axis"), line(x(0), floor, x(1), floor, "axis")]
    parts += [text(x(t), base + 13, percent(t, 0), "tick", "middle") for t in (0, 0.5, 1)]
    parts.append(text(x(1), base + 25, "confidence, %", "tick", "end"))
    title = f"Reliability of {name}"
    return picture(
        f"reliability-{name.replace('/', '-')}", frame.width, frame.height, title, description(found), *parts
    )


def description(found: Reliability) -> str:
    """The figure in words."""
    surplus = found.surplus
    side = "too sure" if surplus > 0.01 else "not sure enough" if surplus < -0.01 else "about as sure as it should be"
    return f"ECE {percent(found.ece)} %; on the whole {side}."


def numbers(found: Reliability) -> Table:
    """The bins that hold images."""
    rows = [
        (
            f"{percent(m / BINS, 0)} to {percent((m + 1) / BINS, 0)}",
            f"{found.count_M[m]:,}",
            percent(found.confidence_M[m]),
            percent(found.accuracy_M[m]),
        )
        for m in np.flatnonzero(found.count_M).tolist()
    ]
    return Table(("confidence", "images", "mean confidence", "accuracy"), rows)


def section(run: Reported) -> PageSection | None:
    """Teacher, student, ensemble and baseline, those that are there."""
    figures = []
    eces = {}
    for name in SHOWN:
        if (entry := run.answered(name)) is None:
            continue
        found = reliability(run.logits(entry), run.y_N)
        eces[name] = found.ece
        chart_of_it = chart(name, entry.family, found)
        figures.append((shortened(name), Figure(chart_of_it, description(found), numbers(found))))
    if not figures:
        return None
    best = min(eces, key=lambda name: eces[name])
    lead = (
        "Of the images predicted with 80 % confidence, are four in five right? Bars on the diagonal mean yes. "
        f"The best calibrated of these is the {best} (ECE {percent(eces[best])} %)."
    )
    values = {"figures": figures, "count": len(run.y_N)}
    return PageSection("calibration", "How far confidence can be trusted", lead, values)
