"""What a person sees while a network trains: one live line in a terminal, a dozen plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

LINES = 10


class Show(Protocol):
    """Called with each finished epoch's row of the curve."""

    def __call__(self, row: dict[str, Any]) -> None: ...


def say(sentence: str) -> None:
    """Print one line at once: DVC reads our output through a pipe."""
    print(sentence, flush=True)


@contextmanager
def showing(node: str, epochs: int) -> Iterator[Show]:
    """Yield a function that shows each epoch as it ends."""
    if sys.stdout.isatty():
        from rich.console import Console

        newest = ""

        def update(row: dict[str, Any]) -> None:
            nonlocal newest
            newest = line(node, epochs, row)
            status.update(newest)

        with Console().status(f"{node}: epoch 1 of {epochs}") as status:
            yield update
        if newest:
            say(newest)  # the live line goes when it ends; the last epoch stays to be read
        return
    last = time.monotonic()

    def show(row: dict[str, Any]) -> None:
        nonlocal last
        due = row["epoch"] % max(1, epochs // LINES) == 0 and time.monotonic() - last >= 2
        if due or row["epoch"] == epochs:
            say(line(node, epochs, row))
            last = time.monotonic()

    yield show


def line(node: str, epochs: int, row: dict[str, Any]) -> str:
    """One epoch in words."""
    accuracy = row["validation_accuracy"]
    validation = "" if accuracy is None else f"validation {100 * accuracy:.1f} %, "
    return (
        f"{node}: epoch {row['epoch']} of {epochs}, loss {row['loss']:.4f}, "
        f"{validation}{row['images_per_second']:.0f} images/s"
    )
