"""The page: every section that the run has something for, filled into the templates."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.base import files
from pipeline.base.paths import REPORT
from pipeline.console.progress import log
from pipeline.planning.specs.readers import ReportSpec
from pipeline.report import (
    agreement,
    attention,
    calibration,
    classes,
    compression,
    cost,
    curves,
    generations,
    lineage,
    methods,
    ships,
    soft_labels,
    tradeoff,
    words,
)
from pipeline.report.methods import Comparison
from pipeline.report.run import Reported
from pipeline.report.section import PageSection, shown
from pipeline.report.words import percent, points, quantity

COARSE = 64  # pixels of an edge: smaller images show their pixels, larger ones are smoothed
TEMPLATES = Path(__file__).parent / "templates"
TILES = {
    "teacher": "the first network",
    "student": "at the end of the chain",
    "baseline": "the student on hard labels",
    "refined": "best of the refinery",
    "ensemble": "born-again generations together",
}
SECTIONS: tuple[Callable[[Reported], PageSection | None], ...] = (
    lineage.section,
    generations.section,
    methods.section,
    tradeoff.section,
    compression.section,
    ships.section,
    calibration.section,
    agreement.section,
    soft_labels.section,
    attention.section,
    classes.section,
    curves.section,
    cost.section,
)


def write(spec: ReportSpec) -> None:
    """Write report.html of the nodes that `spec` names."""
    files.write_text(REPORT, render(Reported(spec)))
    log(f"report: open {REPORT} in a browser")


def render(run: Reported) -> str:
    """The report of a run: one HTML file that needs nothing else."""
    sections = [found for each in SECTIONS if (found := each(run)) is not None]
    coarse = run.data.size < COARSE
    values = {
        "coarse": coarse,
        "sections": sections,
        "tiles": tiles(run),
        "facts": facts(run),
        "headline": headline(run),
    }
    return environment().get_template("page.html").render(values)


def environment() -> Environment:
    """Where templates are found, and what they may call; all that they are filled with is escaped."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"percent": percent, "points": points, "quantity": quantity, "seconds": words.seconds}
    found.filters["short"] = words.shortened
    return found


def headline(run: Reported) -> str:
    """The run in two sentences."""
    teacher, student = run.find("teacher"), run.find("student")
    if teacher is None:
        return "What this run trained, and what came of it."
    if student is None:
        return f"The teacher reaches {percent(teacher.test or 0)} % on test."
    # Of a teacher that is no network of ours nothing is known of its size.
    ratio = teacher.metrics.get("parameters", 0) / student.metrics["parameters"]
    smaller = f", {ratio:.{0 if ratio >= 10 else 1}f} times smaller than its teacher," if ratio > 1 else ""
    arm = next((arm for arm in methods.arms(run) if arm.name == "student"), None)
    beside = f", {_against_baseline(arm)}" if arm else ""
    return (
        f"The student{smaller} reaches {percent(student.test or 0)} % on test{beside}. "
        f"The teacher reaches {percent(teacher.test or 0)} %."
    )


def _against_baseline(arm: Comparison) -> str:
    """The student beside the baseline, and how sure that is."""
    low, high = arm.difference.interval or (0.0, 0.0)
    interval = f"95 % interval {points(low)} to {points(high)} over test images, one seed"
    if arm.verdict == "open":
        change = points(arm.difference.mean)
        return f"{change} points from the same network on hard labels, too little to tell ({interval})"
    side = "above" if arm.verdict == "better" else "below"
    return f"{percent(abs(arm.difference.mean))} points {side} the same network on hard labels ({interval})"


def tiles(run: Reported) -> list[dict[str, Any]]:
    """The few figures at the top."""
    base = run.find("baseline")
    found = []
    for name, what in TILES.items():
        entry = run.find(name)
        if entry is not None:
            size = entry.metrics.get("parameters")
            amount = f"{words.amount(size)} parameters" if size else ""
            found.append({"name": name, "family": entry.family, "test": entry.test, "what": what, "size": amount})
    if chain := compression.steps(run):
        last = chain[-1]
        smaller = last.smaller or 0
        what = f"{smaller:.1f} times smaller than the teacher" if smaller > 1 else "at the end of its steps"
        size = quantity(last.bytes or 0, "B")
        found.append({"name": "compressed", "family": last.family, "test": last.test, "what": what, "size": size})
    for tile in found:
        compared = base is not None and tile["name"] != base.name
        tile["difference"] = tile["test"] - (base.test or 0.0) if base and compared else None
    return found


def facts(run: Reported) -> dict[str, str]:
    """What everything here is of: for the head and the foot of the page."""
    data, spec = run.data, run.spec
    train = f"{len(data.train):,}"
    if data.train.unlabelled:
        train += f" ({data.train.unlabelled:,} without a label)"
    channels = {1: "grey", 3: "colour"}.get(data.channels, f"{data.channels} channels")
    return {
        "source": spec.source,
        "images": f"{words.times(data.size, data.size)}, {channels}",
        "classes": f"{len(data.classes):,} classes",
        "counts": f"{train} / {len(data.validation):,} / {len(data.test):,}",
        "seeds": ", ".join(f"{name} {seed}" for name, seed in spec.seeds.items()),
        "hash": data.hash[:12],
    }
