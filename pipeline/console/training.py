"""What a person reads of one training: a header before it, and after it the result beside the previous run's.

In a terminal rich draws both; through a pipe they are plain lines, and rich is not imported.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.console.progress import log
from pipeline.console.text import visible
from pipeline.dvc.previous_run import PreviousRun

FIGURES = (  # title, where it stands in the metrics, factor, format
    ("validation accuracy", ("validation", "accuracy"), 100, ".1f"),
    ("test accuracy", ("test", "accuracy"), 100, ".1f"),
    ("test NLL", ("test", "nll"), 1, ".3f"),
    ("test ECE", ("test", "ece"), 100, ".1f"),
    ("agreement with teacher", ("teacher", "agreement"), 100, ".1f"),
    ("training seconds", ("cost", "training_seconds"), 1, ".1f"),
)
NEAR = 0.75  # of the batch size asked for: what is really used is printed below


@dataclass(frozen=True)
class Job:
    """A training that is about to start, in words.

    images, epochs: of the training. batch: images of its largest batch, where `batch_size` was asked for. is_alike:
    whether the previous run trained the same network on the same images, so that its speed is to be expected again.
    unlabelled: images without a label: some of `images` where it learns from all, else beside them.
    """

    node: str
    learns_from: str
    network: str
    machine: str
    images: int
    epochs: int
    batch: int
    batch_size: int
    previous_run: PreviousRun | None
    is_alike: bool = True
    unlabelled: int = 0
    learns_all: bool = True

    @property
    def size(self) -> str:
        """How much is to be done, and how long that should take at the previous run's speed, where that is known."""
        bare = ""
        if self.unlabelled:
            bare = f" ({self.unlabelled:,} {'of them' if self.learns_all else 'more'} without a label)"
        size = f"{self.images:,} images{bare}, {self.epochs:,} epochs"
        if self.batch < NEAR * self.batch_size:
            size += f", batches of {self.batch:,} (batch_size {self.batch_size:,})"
        speed = self.previous_run.images_per_second if self.previous_run and self.is_alike else None
        if speed is None:
            return size
        return f"{size}, about {duration(self.images * self.epochs / speed)} at the last run's speed"


def header(job: Job) -> None:
    """Print what is about to be trained."""
    if not sys.stdout.isatty():
        log(f"{job.node}: learns from {job.learns_from}; {job.network}; {job.size}; {job.machine}")
        return
    from rich.table import Table
    from rich.text import Text

    from pipeline.console.terminal import console

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column()
    for title, words in (
        ("learns from", job.learns_from),
        ("network", job.network),
        ("job", job.size),
        ("machine", job.machine),
    ):
        grid.add_row(title, visible(words))
    shown = console()
    shown.rule(Text(visible(job.node), "bold"), align="left")
    shown.print(grid)


def closing(node: str, metrics: dict[str, Any], previous: PreviousRun | None) -> None:
    """Print what a node reached, beside the previous run's result."""
    rows = list(_figures(metrics, previous.metrics if previous else {}))
    if not sys.stdout.isatty():
        parts = [f"{title} {now}" + (f" (last run {before})" if before else "") for title, now, before, _ in rows]
        log(f"{node}: {', '.join(parts)}")
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from pipeline.console.terminal import console

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(visible(node))
    for title in ("this run", "last run", "change") if previous else ("this run",):
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(*row[: len(table.columns)])
    console().print(table)


def _figures(metrics: dict[str, Any], previous: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Title, now, before and difference of each figure that the node has."""
    for title, (part, key), factor, form in FIGURES:
        now, before = (each.get(part, {}).get(key) for each in (metrics, previous))
        if now is not None:
            yield (
                title,
                format(factor * now, form),
                "" if before is None else format(factor * before, form),
                "" if before is None else format(factor * (now - before), f"+{form}"),
            )


def duration(seconds: float) -> str:
    """A time to wait, in the unit that a person would say."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
