"""The table of the compress chain: what each step cost and won, from the teacher to the file that ships."""

from typing import Any

from pipeline.lineage.results import Row

HEADER = (
    *("step", "node", "validation", "test", "agreement", "parameters", "non-zero", "MFLOPs", "bytes", "zipped"),
    *("smaller", "faster 1", "faster 64", "timed on", "memory MB"),
)


def lines(table: list[Row]) -> list[tuple[str, ...]]:
    """Cells, header first: the teacher, what the chain starts from, then a line a step; [] where there are no steps, or
    no teacher yet.

    Agreement is with the teacher on test. `smaller` compares bytes; `faster` compares latencies of one image and of 64
    with the teacher's, in the same run, the same runtime and on the device that `timed on` names; `memory` is the peak
    of a process that does nothing else. What is not known of a teacher that is no network of ours is left empty.
    """
    steps = [row for row in table if "step" in row.metrics and row.node.status != "carried"]
    by_name = {row.node.name: row for row in table}
    if not steps or "teacher" not in by_name:
        return []
    teacher = by_name["teacher"]
    start = by_name.get(steps[0].node.lineage[-1]["teacher"], teacher)
    rows = [teacher, *([start] if start is not teacher else []), *steps]
    return [HEADER, *(_line(row, teacher) for row in rows)]


def _line(row: Row, teacher: Row) -> tuple[str, ...]:
    metrics, is_step = row.metrics, "step" in row.metrics
    latency = metrics["cost"].get("latency", {})
    return (
        metrics.get("step", ""),
        row.node.name,
        *(f"{100 * metrics[split]['accuracy']:.1f}" for split in ("validation", "test")),
        f"{100 * metrics['teacher']['agreement']:.1f}" if is_step else "",
        _count(metrics.get("parameters")),
        _count(metrics.get("nonzeros")),
        f"{metrics['flops'] / 1e6:,.3f}" if "flops" in metrics else "",
        _count(metrics.get("bytes")),
        _count(metrics.get("compressed_bytes")),
        f"{teacher.metrics['bytes'] / metrics['bytes']:.1f}" if "bytes" in teacher.metrics else "",
        *(_times(latency.get(batch, {}).get("ratio")) for batch in ("batch_1", "batch_64")),
        metrics["cost"]["timed_on"] if is_step else "",
        f"{metrics['cost']['peak_memory_bytes'] / 1e6:.0f}" if is_step else "",
    )


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.1f}"


def _count(number: Any) -> str:
    return "" if number is None else f"{number:,}"
