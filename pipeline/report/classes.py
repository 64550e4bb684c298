"""Class by class: where distillation helps, which confusions it fixes or makes, and what all classes alike come to.

Legend: N images, C classes.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.report.run import Reported
from pipeline.report.section import PageSection, Table
from pipeline.report.words import counted, percent, points, shortened

MOST = 20  # classes that a page can show
CONFUSIONS = 8


@dataclass(frozen=True)
class OfClass:
    """A class: its test images, and the share of them that each of the two gets right."""

    name: str
    count: int
    before: float
    after: float


@dataclass(frozen=True)
class Confusion:
    """Images of one class that are taken for another: how often by each of the two."""

    true: str
    taken_for: str
    before: int
    after: int


def by_class(before_N: np.ndarray, after_N: np.ndarray, y_N: np.ndarray, names: tuple[str, ...]) -> list[OfClass]:
    """Accuracy of both networks on each class that has test images; before_N, after_N: their answers."""
    found = []
    for c, name in enumerate(names):
        of_c = y_N == c
        if count := int(of_c.sum()):
            found.append(OfClass(name, count, float((before_N[of_c] == c).mean()), float((after_N[of_c] == c).mean())))
    return found


def confusions(before_N: np.ndarray, after_N: np.ndarray, y_N: np.ndarray, names: tuple[str, ...]) -> list[Confusion]:
    """Every confusion that either makes, the most fixed first and the most made last."""
    classes = len(names)
    tables = [np.bincount(y_N * classes + guess_N, minlength=classes**2) for guess_N in (before_N, after_N)]
    cells = np.flatnonzero(tables[0] + tables[1])
    found = [
        Confusion(names[cell // classes], names[cell % classes], int(tables[0][cell]), int(tables[1][cell]))
        for cell in cells.tolist()
        if cell // classes != cell % classes
    ]
    return sorted(found, key=lambda each: (each.after - each.before, -each.before))


def averages(run: Reported) -> Table:
    """What each network reaches on test, of all images alike, and of all classes alike; empty where it is not known."""
    rows = [
        (
            entry.name,
            percent(entry.test or 0),
            *(percent(test[key]) if key in test else "" for key in ("balanced_accuracy", "macro_f1", "top_5")),
            f"{test['nll']:.3f}" if "nll" in test else "",
        )
        for entry in run.answering
        for test in (entry.metrics["test"],)
    ]
    return Table(("network", "accuracy", "balanced accuracy", "macro F1", "top 5", "NLL"), rows)


def section(run: Reported) -> PageSection | None:
    """Baseline against student, or None where one of them is not there."""
    before, after = run.answered("baseline"), run.answered("student")
    if before is None or after is None:
        return None
    answers = run.guesses("baseline"), run.guesses("student"), run.y_N, run.classes
    every = by_class(*answers)
    shown = every
    if len(every) > MOST:
        moved = sorted(every, key=lambda each: -abs(each.after - each.before))[:MOST]
        shown = [each for each in every if each in moved]
    changed = confusions(*answers)
    fixed = [each for each in changed if each.after < each.before]
    made = [each for each in reversed(changed) if each.after > each.before]
    up, down = sum(c.after > c.before for c in every), sum(c.after < c.before for c in every)
    most = max(every, key=lambda each: each.after - each.before)
    lead = (
        f"From the baseline to the student at the end of the chain: better in {counted(up, 'class')}, worse in {down}, "
        f"equal in {len(every) - up - down}."
    )
    if most.after > most.before:
        lead += f" Class {shortened(most.name, 40)} gains most, {points(most.after - most.before)} points."
    return PageSection(
        "classes",
        "Class by class",
        lead,
        {
            "classes": shown,
            "left_out": len(every) - len(shown),
            "fixed": fixed[:CONFUSIONS],
            "made": made[:CONFUSIONS],
            "fixed_images": sum(each.before - each.after for each in fixed),
            "made_images": sum(each.after - each.before for each in made),
            "base": percent(before.test or 0),
            "reached": percent(after.test or 0),
            "averages": averages(run),
        },
    )
