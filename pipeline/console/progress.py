"""What a person sees while a network trains: one live line in a terminal, a dozen plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LINES = 10
CurveRow = dict[str, Any]  # one network's figures of one epoch


def log(sentence: str) -> None:
    """Print one line at once: DVC reads our output through a pipe."""
    print(sentence, flush=True)


@contextmanager
def showing(node: str, epochs: int) -> Iterator[Callable[[CurveRow], None]]:
    """Yield a function to be called with each finished epoch's row of the curve."""
    with _live(node, epochs) if sys.stdout.isatty() else _lines(node, epochs) as show:
        yield show


@contextmanager
def _live(node: str, epochs: int) -> Iterator[Callable[[CurveRow], None]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    newest = ""
    words = TextColumn("{task.description}", markup=False)
    with Progress(words, BarColumn(20), TimeRemainingColumn(), transient=True) as progress:
        task = progress.add_task(f"{node}: epoch 1 of {epochs}", total=epochs)

        def show(row: CurveRow) -> None:
            nonlocal newest
            newest = line(node, epochs, row)
            progress.update(task, description=newest, completed=row["epoch"])

        yield show
    if newest:
        log(newest)  # the live line goes when it ends; the last epoch stays to be read


@contextmanager
def _lines(node: str, epochs: int) -> Iterator[Callable[[CurveRow], None]]:
    last = time.monotonic()

    def show(row: CurveRow) -> None:
        nonlocal last
        due = row["epoch"] % max(1, epochs // LINES) == 0 and time.monotonic() - last >= 2
        if due or row["epoch"] == epochs:
            log(line(node, epochs, row))
            last = time.monotonic()

    yield show


def line(node: str, epochs: int, row: CurveRow) -> str:
    """One epoch in words."""
    accuracy = row["validation_accuracy"]
    validation = "" if accuracy is None else f"validation {100 * accuracy:.1f} %, "
    return (
        f"{node}: epoch {row['epoch']} of {epochs}, loss {row['loss']:.4f}, "
        f"{validation}{row['images_per_second']:.0f} images/s"
    )
