"""What ships beside its teacher: which images it loses and wins, class by class, and the photographs it is wrong about.

Legend: N images, C classes.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.flips import Flips
from pipeline.report.classes import CONFUSIONS, MOST, Confusion, by_class, confusions
from pipeline.report.png import photo_uri
from pipeline.report.run import Reported
from pipeline.report.section import PageSection
from pipeline.report.words import apart, percent, points

PHOTOS = 12  # of a kind


@dataclass(frozen=True)
class Photo:
    """An image with its class and what both answer; sure: how sure what ships is of its answer, 0 .. 1."""

    number: int
    picture: str
    true: str
    first: str
    second: str
    sure: float


def section(run: Reported) -> PageSection | None:
    """The teacher against the file at the end of the chain; None where no file ships."""
    teacher, ships = run.answered("teacher"), run.shipped
    if teacher is None or ships is None:
        return None
    y_N, names = run.y_N, run.classes
    before_N, after_N = run.guesses(teacher.name), run.guesses(ships.name)
    lost_N, won_N = (before_N == y_N) & (after_N != y_N), (before_N != y_N) & (after_N == y_N)
    flips = Flips(len(y_N), int(lost_N.sum()), int(won_N.sum()))
    low, high = flips.interval
    lead = (
        f"Of {len(y_N):,} test images {flips.lost:,} are right for the teacher alone and {flips.won:,} for the file "
        f"alone: {points(-flips.drop)} points (95 % interval {points(-high)} to {points(-low)}, over images)."
    )
    every = by_class(before_N, after_N, y_N, names)
    shown = sorted(every, key=lambda each: (each.after - each.before, each.after))[:MOST]
    wrong = [each for each in confusions(before_N, after_N, y_N, names) if each.after]
    sure_N = _sure(run, ships.metrics.get("promises", {}).get("temperature", 1.0))
    order = np.argsort(-sure_N, kind="stable")
    kinds = (
        ("Lost: the teacher alone is right", lost_N),
        ("Wrong for both, and the file is surest", (after_N != y_N) & ~lost_N),
    )
    return PageSection(
        "ships",
        "What ships",
        lead,
        {
            "classes": shown if len(every) > MOST else every,
            "left_out": len(every) - len(shown),
            "worst": sorted(wrong, key=_often)[:CONFUSIONS],
            "wrong": sum(each.after for each in wrong),
            "short": dict(zip(names, apart(names, 22), strict=True)),
            "base": percent(teacher.test or 0),
            "reached": percent(ships.test or 0),
            "promises": _promises(ships.metrics.get("promises")),
            "kinds": [
                (title, _photos(run, order[of_N[order]][:PHOTOS], before_N, after_N, sure_N), int(of_N.sum()))
                for title, of_N in kinds
            ],
        },
    )


def _often(each: Confusion) -> tuple[int, int]:
    return -each.after, each.before


def _sure(run: Reported, temperature: float) -> np.ndarray:
    """The probability of its answer, float64 (N,)."""
    import torch  # late, as in `Reported`

    from pipeline.evaluation.temperature import surest

    assert run.shipped is not None
    return surest(torch.from_numpy(run.logits(run.shipped)), temperature).numpy()


def _photos(
    run: Reported, rows: np.ndarray, before_N: np.ndarray, after_N: np.ndarray, sure_N: np.ndarray
) -> list[Photo]:
    found = []
    for row in rows.tolist():
        true, first, second = (run.classes[int(each[row])] for each in (run.y_N, before_N, after_N))
        found.append(Photo(row, photo_uri(run.data.test.images, row), true, first, second, float(sure_N[row])))
    return found


def _promises(told: dict[str, object] | None) -> list[str]:
    """What the file says of other images, as its card does."""
    from pipeline.compression.model_card import promises

    return promises(told) if told else []
