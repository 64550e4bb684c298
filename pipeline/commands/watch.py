"""What runs now, here and in the workspaces of queued experiments: how far it is, how fast, how long it will take."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from pipeline.console.events import Activity, Event, running
from pipeline.console.text import visible
from pipeline.console.training import duration

HEADER = ("stage", "experiment", "doing", "done", "loss", "validation", "images/s", "left", "machine")
NOTHING = "nothing runs here"
WIDTH = 60  # columns of a curve, at most
BARS = "▁▂▃▄▅▆▇█"
RECENT = 30.0  # seconds over which the speed is measured
EVERY = 1.0  # seconds between two looks


def table(found: Sequence[Activity], now: float) -> list[tuple[str, ...]]:
    """Cells, header first: a line for each stage that runs."""
    return [HEADER, *(_line(each, now) for each in found)]


def _line(of: Activity, now: float) -> tuple[str, ...]:
    first, row = of.first, of.last("row") or {}
    done, whole, images = of.last("done") or 0, _whole(first), _images_of_one(first)
    speed = _speed(of, now)
    loss, accuracy = row.get("loss"), row.get("validation_accuracy")
    return (
        str(first["node"]),
        _experiment(first),
        _doing(first, done),
        f"{100 * min(1.0, done / whole):.0f} %" if whole else "-",
        "-" if loss is None else f"{loss:.4f}",
        "-" if accuracy is None else f"{100 * accuracy:.1f} %",
        f"{speed * images:,.0f}" if speed and images else "-",
        duration((whole - done) / speed) if speed and whole > done else "-",
        str(first.get("machine") or "-"),
    )


def _experiment(first: Event) -> str:
    return str(first.get("experiment") or Path(str(first.get("workspace", ""))).name)


def _whole(first: Event) -> int:
    """How much there is to do: steps of a training, images of anything else."""
    if first["doing"] == "training":
        return int(first["epochs"]) * int(first["steps"])
    return int(first.get("images") or 0)


def _images_of_one(first: Event) -> float:
    """Images of one of what is counted."""
    return float(first["images"]) / float(first["steps"]) if first["doing"] == "training" else 1.0


def _doing(first: Event, done: int) -> str:
    if first["doing"] == "training":
        steps = int(first["steps"])
        epoch, step = divmod(min(done, _whole(first) - 1), steps)
        return f"epoch {epoch + 1:,} of {first['epochs']:,}, step {step + 1:,} of {steps:,}"
    if first["doing"] == "labels":
        each = max(1, int(first["images"]) // (int(first["views"]) + 1))
        return f"labels, view {min(done // each, first['views']):,} of {first['views']:,}"
    return f"{done:,} of {first['images']:,} images {first['verb']}"


def _speed(of: Activity, now: float) -> float | None:
    """What is done in a second, of late: steps or images. None before two moments are known."""
    points = [(line["time"], line["done"]) for line in of.lines if "done" in line]
    late = [point for point in points if point[0] >= now - RECENT] or points
    (began, first), (ended, last) = (late[0], late[-1]) if late else ((0.0, 0), (0.0, 0))
    return (last - first) / (ended - began) if last > first and ended > began else None


def curves(found: Sequence[Activity]) -> Iterator[str]:
    """Lines that draw loss and validation of each training, an epoch a column, or the mean of a few."""
    runs = Counter(node for node, _ in {(str(each.first["node"]), _experiment(each.first)) for each in found})
    for each in found:
        node = str(each.first["node"])
        name = node if runs[node] == 1 else f"{node} of {_experiment(each.first)}"
        rows = {line["row"]["epoch"]: line["row"] for line in (*each.before, *each.lines) if line.get("row")}
        for title, key, factor, unit in (("loss", "loss", 1, ""), ("validation", "validation_accuracy", 100, " %")):
            values = [rows[epoch][key] for epoch in sorted(rows) if rows[epoch].get(key) is not None]
            if values:
                low, high = (f"{factor * bound(values):.4g}{unit}" for bound in (min, max))
                yield f"{name}, {title}: {bars(values)}  {low} to {high}, epoch {max(rows)}"


def bars(values: Sequence[float]) -> str:
    """A curve in a line of text, from its least value to its largest."""
    each = -(-len(values) // WIDTH)
    means = [fmean(values[at : at + each]) for at in range(0, len(values), each)]
    low, high = min(means), max(means)
    steps = [round((len(BARS) - 1) * (mean - low) / (high - low)) if high > low else 0 for mean in means]
    return "".join(BARS[step] for step in steps)


def follow(root: Path, draw: Callable[[list[Activity]], Any]) -> None:
    """Show what runs on the terminal, anew each second, until Ctrl-C.

    Args:
        root: The folder of all training state.
        draw: What is shown of it, as rich takes it.
    """
    from rich.live import Live

    from pipeline.console.terminal import console

    with Live(console=console(), auto_refresh=False, transient=False) as live:
        try:
            while True:
                live.update(draw(running(root)), refresh=True)
                time.sleep(EVERY)
        except KeyboardInterrupt:
            return


def screen(found: list[Activity], with_curves: bool) -> Any:
    """All of it, for rich."""
    from rich.console import Group
    from rich.text import Text

    from pipeline.lineage.results import drawn

    shown: list[Any] = [drawn(table(found, time.time()))] if found else [Text(NOTHING)]
    shown += [Text(visible(line), no_wrap=True) for line in curves(found)] if with_curves else []
    return Group(*shown)
