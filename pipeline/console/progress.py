"""What a person sees while a network trains: one live line in a terminal, a dozen plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.console.text import visible, visible_lines

LINES = 10
EACH = 30  # seconds between two lines of images that are prepared
APART = 2  # seconds between two plain lines, at least
CurveRow = dict[str, Any]  # one network's figures of one epoch


def log(sentence: str) -> None:
    """Print one line at once: DVC reads our output through a pipe."""
    print(visible(sentence), flush=True)


def log_lines(lines: str) -> None:
    """Print text of ours that has several lines."""
    print(visible_lines(lines), flush=True)


def warn(sentence: str) -> None:
    """Print one line to standard error at once."""
    print(visible(sentence), file=sys.stderr, flush=True)


def emit(line: str) -> None:
    """Print one line for a program, as `row` or `json_line` of `console.text` has made it."""
    print(line)


@contextmanager
def showing(node: str, epochs: int) -> Iterator[Callable[[CurveRow], None]]:
    """Yield a function to be called with each finished epoch's row of the curve."""
    with _shown(f"{node}: epoch 1 of {epochs}", epochs) as show:
        yield lambda row: show(row["epoch"], line(node, epochs, row))


@contextmanager
def showing_labels(node: str, views: int, images: int) -> Iterator[Callable[[int], None]]:
    """Yield a function to be called with how many images have labels, of those of all views and the clean one.

    The first call tells where labelling goes on. Where it takes no time it prints nothing.
    """
    begun, first = time.monotonic(), -1
    with _shown(f"{node}: labels", images, brief=True) as show:

        def count(done: int) -> None:
            nonlocal first
            if first >= 0:
                speed = (done - first) / max(time.monotonic() - begun, 1e-9)
                show(done, f"{node}: labels, {_view(done, views, images)}, {speed:.0f} images/s")
                return
            first = done
            if done >= images:
                log(f"{node}: labels were finished before and are used")
            elif done:
                log(f"{node}: going on with labels at {_view(done, views, images)}")

        yield count


@contextmanager
def showing_images(name: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function to be called with how many images are done, of how many. Where it takes no time it prints none.

    The first call tells of how many, and how many were done before.
    """
    begun, first, last = time.monotonic(), -1, time.monotonic()

    def show(done: int, whole: int) -> None:
        nonlocal first, last
        first = done if first < 0 else first
        if time.monotonic() - last >= EACH:
            last = time.monotonic()
            log(f"{name}: image {done:,} of {whole:,}, {(done - first) / (last - begun):.0f} images/s")

    yield show


def _view(done: int, views: int, images: int) -> str:
    """Where labelling stands; view 0 is the clean one."""
    each = images // (views + 1)
    return f"view {min(done // each, views):,} of {views:,}, image {done:,} of {images:,}"


@contextmanager
def _shown(beginning: str, whole: int, *, brief: bool = False) -> Iterator[Callable[[int, str], None]]:
    """Yield a function of how much of the whole is done, and that in words.

    brief: the last line is not printed where it is the only one.
    """
    with _live(beginning, whole, brief) if sys.stdout.isatty() else _lines(whole, brief) as show:
        yield show


@contextmanager
def _live(beginning: str, whole: int, brief: bool) -> Iterator[Callable[[int, str], None]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from pipeline.console.terminal import console

    newest, begun = "", time.monotonic()
    words = TextColumn("{task.description}", markup=False)
    with Progress(words, BarColumn(20), TimeRemainingColumn(), console=console(), transient=True) as progress:
        task = progress.add_task(visible(beginning), total=whole)

        def show(done: int, words: str) -> None:
            nonlocal newest
            newest = words
            progress.update(task, description=visible(words), completed=done)

        yield show
    if newest and not (brief and time.monotonic() - begun < APART):
        log(newest)  # the live line goes when it ends; the last state stays to be read


@contextmanager
def _lines(whole: int, brief: bool) -> Iterator[Callable[[int, str], None]]:
    last = time.monotonic()
    step, reached, printed = max(1, whole // LINES), 0, not brief

    def show(done: int, words: str) -> None:
        nonlocal last, reached, printed
        due = done // step > reached and time.monotonic() - last >= APART
        reached = done // step
        if due or (done == whole and printed):
            log(words)
            last, printed = time.monotonic(), True

    yield show


def line(node: str, epochs: int, row: CurveRow) -> str:
    """One epoch in words."""
    accuracy = row["validation_accuracy"]
    validation = "" if accuracy is None else f"validation {100 * accuracy:.1f} %, "
    return (
        f"{node}: epoch {row['epoch']} of {epochs}, loss {row['loss']:.4f}, "
        f"{validation}{row['images_per_second']:.0f} images/s"
    )
