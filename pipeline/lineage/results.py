"""The figures that people compare, and the table that they read."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.base import files
from pipeline.base.paths import ARTIFACTS, METRICS
from pipeline.config.select import ACCURACY, Metric, metric_of
from pipeline.console.progress import emit, log
from pipeline.console.text import json_line, visible, word
from pipeline.lineage import node
from pipeline.lineage.node import Node
from pipeline.planning.specs.readers import SummarySpec

FURTHER = {"balanced": "balanced_accuracy", "macro F1": "macro_f1", "top 5": "top_5"}  # of test, by its title
FIGURES = ("teacher", "student", "baseline", "direct", "refined", "ensemble")


@dataclass(frozen=True)
class Row:
    """One node with its numbers; a carried slot has those of its origin."""

    node: Node
    metrics: dict[str, Any]


def summarise(spec: SummarySpec) -> None:
    """Write `metrics/summary.json` of the nodes that `spec` names."""
    table = rows(spec.nodes)
    files.write_json(METRICS / "summary.json", figures(table, metric_of(spec.select)))
    log(f"summary: {len(table)} networks; `python -m pipeline summary` shows the table")


def made(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """The nodes that a stage has made, and those that none has made yet."""
    found: tuple[list[str], list[str]] = ([], [])
    for name in names:
        found[0 if (ARTIFACTS / name / "node.json").exists() else 1].append(name)
    return found


def in_runs(names: Sequence[str]) -> Iterator[str]:
    """Names of nodes in few words: the slots of a family as `refinery/g4..g8`."""
    families: dict[str, list[str]] = {}
    for name in names:
        family, _, slot = name.partition("/")
        families.setdefault(family, []).append(slot)
    for family, slots in families.items():
        yield f"{family}/{slots[0]}..{slots[-1]}" if len(slots) > 1 else f"{family}/{slots[0]}".rstrip("/")


def rows(names: Iterable[str]) -> list[Row]:
    """Read every node and the metrics of what stands behind it; what was switched off is no row."""
    found = [each for each in map(node.read, names) if each.status != "skipped"]
    return [Row(each, _numbers(each)) for each in found]


def _numbers(of: Node) -> dict[str, Any]:
    """The metrics of a node; running an ensemble costs what running all its members costs."""
    metrics = node.read_numbers(of.source)
    if of.status == "computed" and of.format is None:
        members = [node.read_numbers(item["teacher"]) for item in of.lineage]
        known = [key for key in ("parameters", "flops", "bytes") if all(key in each for each in members)]
        metrics |= {key: sum(each[key] for each in members) for key in known}
    return metrics


def figures(table: list[Row], metric: Metric = ACCURACY) -> dict[str, Any]:
    """`metrics/summary.json`: accuracies of the nodes that most experiments have, lengths of chains, cost.

    Beside accuracies, what those nodes have by the metric that decides, where that is another one.
    """
    by_name = {row.node.name: row for row in table}
    shipped = _shipped(table)
    accurate = {name: by_name[name] for name in FIGURES if name in by_name} | ({"shipped": shipped} if shipped else {})
    trained = [row for row in table if row.node.status != "carried" or row.node.name == "mutual"]

    def by(metric: Metric) -> dict[str, Any]:
        return {
            split: {name: row.metrics[split][metric.name] for name, row in accurate.items()}
            for split in ("validation", "test")
        }

    return {
        **by(ACCURACY),
        **({} if metric is ACCURACY else {metric.name: by(metric)}),
        "generations": {
            family: sum(row.node.name.startswith(f"{family}/") for row in trained)
            for family in ("refinery", "born_again")
        },
        "cost": {"training_seconds": round(sum(row.metrics["cost"]["training_seconds"] for row in trained), 1)},
        **({"shipped": _savings(shipped, by_name["teacher"])} if shipped else {}),
    }


def _shipped(table: list[Row]) -> Row | None:
    """What the compress chain ends in, where it has steps."""
    steps = [row for row in table if "step" in row.metrics]
    return steps[-1] if steps else None


def _savings(shipped: Row, teacher: Row) -> dict[str, Any]:
    """Size of what ships, and how many times smaller and faster it is than the teacher, where that is known."""
    metrics, latency = shipped.metrics, shipped.metrics["cost"]["latency"]
    found = {key: metrics[key] for key in ("parameters", "flops", "bytes")}
    if "bytes" in teacher.metrics:
        found["smaller"] = round(teacher.metrics["bytes"] / metrics["bytes"], 2)
    if all("ratio" in each for each in latency.values()):
        found["faster"] = {name: round(each["ratio"], 2) for name, each in latency.items()}
    return found


def lines(table: list[Row]) -> list[tuple[str, ...]]:
    """Cells of the table: header first, then one line a node that was trained, computed, imported or picked.

    What no node of the table has beside its accuracy is no column; nor is the difference to a baseline that is not
    there.
    """
    further = {title: key for title, key in FURTHER.items() if any(key in row.metrics.get("test", {}) for row in table)}
    base = next((row.metrics["test"]["accuracy"] for row in table if row.node.name == "baseline"), None)
    difference = () if base is None else ("Δ test",)
    header = ("node", "learned from", "parameters", "validation", "test", *difference, *further, "agreement", "seconds")
    cells: list[tuple[str, ...]] = [header]
    for row in table:
        metrics = row.metrics
        if (row.node.status == "carried" and "/" in row.node.name) or "test" not in metrics or "step" in metrics:
            continue
        test = metrics["test"]["accuracy"]
        own = (row.node.origin or "").startswith(f"{row.node.name}/")
        picked = row.node.status == "carried" and not own
        agreement = metrics.get("teacher", {}).get("agreement")
        cells.append(
            (
                row.node.name,
                f"= {row.node.source}" if picked else learned_from(row.node),
                f"{metrics['parameters']:,}" if "parameters" in metrics else "",
                f"{100 * metrics['validation']['accuracy']:.1f}",
                f"{100 * test:.1f}",
                *([] if base is None else [f"{100 * (test - base):+.1f}"]),
                *(f"{100 * metrics['test'][key]:.1f}" if key in metrics["test"] else "" for key in further.values()),
                "" if agreement is None else f"{100 * agreement:.1f}",
                "" if picked else f"{metrics['cost']['training_seconds']:.1f}",
            )
        )
    return cells


def learned_from(each: Node) -> str:
    """Who taught a node, in words."""
    if each.status == "skipped":
        return ""
    if each.status == "imported":
        return "imported"
    if (each.origin or "").startswith(f"{each.name}/"):
        return "its peers"
    if each.status == "computed":
        return f"{len(each.lineage)} members" if each.format is None else f"made of {each.lineage[0]['teacher']}"
    taught = [item["teacher"] for item in each.lineage if item["read"] != "initial weights"]
    return ", ".join(taught) or "hard labels"


def show(cells: list[tuple[str, ...]], *, as_json: bool = False) -> None:
    """Print a table: names left, numbers right. as_json: for a program, an object a line whose keys are the header."""
    if as_json:
        for line in cells[1:]:
            emit(json_line(dict(zip(cells[0], line, strict=True))))
        return
    from pipeline.console.terminal import uncut

    uncut(drawn(cells))


def drawn(cells: list[tuple[str, ...]]) -> Any:
    """The table as rich draws it."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    words = {cells[0][0], "state", "step", "learned from", "why", "experiment", "doing", "machine"}
    for title in cells[0]:
        table.add_column(visible(title), justify="left" if title in words else "right", no_wrap=True)
    for line in cells[1:]:
        table.add_row(*map(visible, line))
    return table


def markdown(cells: list[tuple[str, ...]]) -> str:
    """The table as Markdown; the first cell of a line is a name."""
    shown = [[cell.replace("|", r"\|") for cell in (word(line[0]), *map(visible, line[1:]))] for line in cells]
    rule = ("---", *("---:" for _ in cells[0][1:]))
    return "".join("| " + " | ".join(line) + " |\n" for line in (shown[0], rule, *shown[1:]))
