"""What a person sees of stages that run side by side: each one's output in one piece, when it ends; in a terminal also
a line for each that runs, elsewhere one when it begins."""

import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from pipeline.console.progress import log, log_lines
from pipeline.console.text import visible, visible_lines
from pipeline.console.training import duration

COLOUR = re.compile(r"(\x1b\[(?:[01]|[39][0-7]|39)?m)")  # as DVC has them; what else stands in a stage's output is text


class Running(Protocol):
    """A stage that runs."""

    stage: str
    began: float

    def newest(self) -> str:
        """The last line of its output."""
        ...


class Screen:
    """Plain lines: for a pipe, a file, a terminal that can no more."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.ended = 0

    def begins(self, stage: str) -> None:
        """Print that a stage begins."""
        if self.total > 1:
            log(f"{stage} begins, {self.ended} of {self.total} are through")

    def waits(self, stage: str, why: str) -> None:
        """Print that a stage waits for room."""
        log(f"{stage} waits: {why}")

    def stops(self, stages: str) -> None:
        """Print that stages were asked to stop."""
        log(f"stopping {stages}: progress is being saved")

    def ends(self, output: str) -> None:
        """Show all output of a stage."""
        self.ended += 1
        log_lines(f"{COLOUR.sub('', _lines(output))}\n")

    def draw(self, running: Sequence[Running]) -> None:
        """Show what runs."""


class _Terminal(Screen):
    def __init__(self, total: int) -> None:
        from rich.live import Live

        from pipeline.console.terminal import console

        super().__init__(total)
        # No thread may draw by itself: this process forks.
        self.live = Live(console=console(), auto_refresh=False, transient=True)

    def begins(self, stage: str) -> None:
        pass

    def waits(self, stage: str, why: str) -> None:
        self.live.console.print(visible(f"{stage} waits: {why}"), soft_wrap=True)

    def stops(self, stages: str) -> None:
        self.live.console.print(f"stopping {stages}: progress is being saved", markup=False, soft_wrap=True)

    def ends(self, output: str) -> None:
        from rich.text import Text

        self.ended += 1
        pieces = COLOUR.split(_lines(output))  # text and colours by turns
        shown = "".join(piece if place % 2 else visible_lines(piece) for place, piece in enumerate(pieces))
        self.live.console.print(Text.from_ansi(f"{shown}\n"), soft_wrap=True)

    def draw(self, running: Sequence[Running]) -> None:
        from rich.text import Text

        names = [visible(each.stage) for each in running]
        width = max(map(len, names), default=0)
        now = time.monotonic()
        lines = [
            f"{name:{width}}  {duration(now - each.began):>7}  {visible(COLOUR.sub('', each.newest()))}"
            for name, each in zip(names, running, strict=True)
        ]
        words = "\n".join([f"{self.ended} of {self.total} are through", *lines])
        self.live.update(Text(words, no_wrap=True, overflow="ellipsis"), refresh=True)


def _lines(output: str) -> str:
    """A stage's output without the line breaks at its end; carriage returns, as of a bar of progress, break lines."""
    return re.sub(r"\r\n?", "\n", output).rstrip()


@contextmanager
def showing(total: int) -> Iterator[Screen]:
    """Yield the screen for a run of so many stages."""
    if not sys.stdout.isatty():
        yield Screen(total)
        return
    screen = _Terminal(total)
    with screen.live:
        yield screen
