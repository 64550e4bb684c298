"""The compress chain, step by step: what each cost in accuracy and won in size and speed."""

from dataclasses import dataclass

from pipeline.lineage import tables
from pipeline.lineage.results import Row
from pipeline.report.run import Entry, Reported
from pipeline.report.section import PageSection, Table
from pipeline.report.svg import around
from pipeline.report.words import counted, points, quantity

WORDS = 2  # of the columns of the compress table: step and node


@dataclass(frozen=True)
class StepFigures:
    """One step, or a network that the chain is compared with.

    Attributes:
        node: The network.
        family: Decides its colour.
        name: The step's; empty of a network that is none.
        test: Accuracy.
        bytes: On disk; None of a teacher that is no file.
        smaller, faster: Times, beside the teacher: of bytes, and of one image at a time in the same runtime and run;
            None where it was not measured so.
    """

    node: str
    family: str
    name: str
    test: float
    bytes: int | None
    smaller: float | None
    faster: float | None
    timed_on: str


def steps(run: Reported) -> list[StepFigures]:
    """The teacher, what the chain starts from, and every step that was done; nothing where there is no step."""
    teacher = run.find("teacher")
    done = [entry for entry in run.networks if "step" in entry.metrics and entry.test is not None]
    if not done or teacher is None:
        return []
    start = run.find(done[0].taught_by[-1])
    before = [teacher, start] if start and start.name != teacher.name else [teacher]
    return [_step(entry, teacher) for entry in before + done]


def _step(entry: Entry, teacher: Entry) -> StepFigures:
    metrics = entry.metrics
    faster = metrics["cost"].get("latency", {}).get("batch_1", {}).get("ratio")
    size = metrics.get("bytes")
    smaller = teacher.metrics["bytes"] / size if size and "bytes" in teacher.metrics else None
    name = metrics.get("step", "")
    timed_on = metrics["cost"].get("timed_on", "")
    return StepFigures(entry.name, entry.family, name, entry.test or 0.0, size, smaller, faster, timed_on)


def section(run: Reported) -> PageSection | None:
    """The chain as a table with bars, and all its numbers; None where nothing was compressed."""
    found = steps(run)
    if not found:
        return None
    first, last = found[0], found[-1]
    count = sum(bool(step.name) for step in found)
    sizes = [step.bytes for step in found if step.bytes]
    after = quantity(last.bytes or 0, "B")
    lead = f"{counted(count, 'step')} leave {after}"
    if first.bytes:
        lead = f"In {counted(count, 'step')}, the {quantity(first.bytes, 'B')} of the teacher become {after}"
    lead += f", {last.faster:.1f} times as fast on {last.timed_on}" if last.faster else ""
    lead += f", at {points(last.test - first.test)} points on test."
    low, high = around([step.test for step in found], 0.02, 0, 1)
    header, *rows = tables.lines([Row(entry.node, entry.metrics) for entry in run.entries.values()])
    values = {
        "steps": found,
        "low": low,
        "high": high,
        "most": max(sizes),
        "numbers": Table(header, rows, WORDS),
    }
    return PageSection("compression", "What compression brings", lead, values)
