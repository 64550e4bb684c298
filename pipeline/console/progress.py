"""What a person sees while a network trains: one live line in a terminal, a dozen plain lines elsewhere."""

import importlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from pipeline.base.curve_row import CurveRow
from pipeline.console.events import telling
from pipeline.console.text import visible, visible_lines

LINES = 10
APART = 2  # seconds between two plain lines, at least


class Onlooker(NamedTuple):
    """What a training calls: after each epoch with its row, after each step with how many are done of all epochs."""

    ended: Callable[[CurveRow], None]
    moved: Callable[[int], None]


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
def showing(
    node: str, epochs: int, steps: int, trackers: Sequence[str] = (), key: str = "", **settled: Any
) -> Iterator[Onlooker]:
    """Yield what is to be called with each finished epoch's row of the curve, and how many steps are done.

    steps: of an epoch. trackers: the programs that are told each row, too. key: the hash of what decides the training.
    settled: what else is told of it to who looks on.
    """
    with (
        _tracked(trackers, node, key, {"epochs": epochs, "steps": steps, **settled}) as track,
        telling(node, "training", epochs=epochs, steps=steps, key=key, **settled) as tell,
        _shown(f"{node}: epoch 1 of {epochs}", epochs) as (show, move),
    ):

        def ended(row: CurveRow) -> None:
            tell(always=True, done=row["epoch"] * steps, row=row)
            show(row["epoch"], line(node, epochs, row))
            track(row)

        def moved(done: int) -> None:
            tell(done=done)
            move(done / steps)

        yield Onlooker(ended, moved)


@contextmanager
def _tracked(
    names: Sequence[str], node: str, key: str, settled: Mapping[str, Any]
) -> Iterator[Callable[[CurveRow], None]]:
    if not names:
        yield lambda row: None
        return
    # By name: who trains depends on none of it.
    trackers = importlib.import_module("pipeline.console.trackers")
    with trackers.tracking(names, trackers.Tracked(node, settled, key), log) as track:
        yield track


@contextmanager
def showing_labels(node: str, views: int, images: int) -> Iterator[Callable[[int], None]]:
    """Yield a function to be called with how many images have labels, of those of all views and the clean one.

    The first call tells where labelling goes on. Where it takes no time it prints nothing.
    """
    begun, first = time.monotonic(), -1
    with (
        telling(node, "labels", images=images, views=views) as tell,
        _shown(f"{node}: labels", images, brief=True) as (show, _),
    ):

        def count(done: int) -> None:
            nonlocal first
            tell(done=done, always=first < 0)
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
def showing_images(verb: str, whole: int) -> Iterator[Callable[[int], None]]:
    """Yield a function to be called with how many images are done. Prints nothing where it takes no time."""
    begun = time.monotonic()
    with (
        telling("prepare", "images", images=whole, verb=verb) as tell,
        _shown(f"prepare: 0 of {whole:,} images {verb}", whole, brief=True) as (show, _),
    ):

        def count(done: int) -> None:
            tell(done=done)
            speed = done / max(time.monotonic() - begun, 1e-9)
            show(done, f"prepare: {done:,} of {whole:,} images {verb}, {speed:.0f} images/s")

        yield count


def _view(done: int, views: int, images: int) -> str:
    """Where labelling stands; view 0 is the clean one."""
    each = images // (views + 1)
    return f"view {min(done // each, views):,} of {views:,}, image {done:,} of {images:,}"


# What is done, and that in words; and what is done in between, for a bar.
Meter = tuple[Callable[[int, str], None], Callable[[float], None]]


@contextmanager
def _shown(beginning: str, whole: int, *, brief: bool = False) -> Iterator[Meter]:
    """Yield a function of how much of the whole is done, and that in words; and one of how much is, in between.

    brief: the last line is not printed where it is the only one.
    """
    with _live(beginning, whole, brief) if sys.stdout.isatty() else _lines(whole, brief) as show:
        yield show


@contextmanager
def _live(beginning: str, whole: int, brief: bool) -> Iterator[Meter]:
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

        yield show, lambda done: progress.update(task, completed=done)
    if newest and not (brief and time.monotonic() - begun < APART):
        log(newest)  # the live line goes when it ends; the last state stays to be read


@contextmanager
def _lines(whole: int, brief: bool) -> Iterator[Meter]:
    last = time.monotonic()
    step, reached, printed = max(1, whole // LINES), 0, not brief

    def show(done: int, words: str) -> None:
        nonlocal last, reached, printed
        due = done // step > reached and time.monotonic() - last >= APART
        reached = done // step
        if due or (done == whole and printed):
            log(words)
            last, printed = time.monotonic(), True

    yield show, lambda done: None


def line(node: str, epochs: int, row: CurveRow) -> str:
    """One epoch in words."""
    accuracy = row["validation_accuracy"]
    validation = "" if accuracy is None else f"validation {100 * accuracy:.1f} %, "
    return (
        f"{node}: epoch {row['epoch']} of {epochs}, loss {row['loss']:.4f}, "
        f"{validation}{row['images_per_second']:.0f} images/s"
    )
