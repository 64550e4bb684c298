"""What is on its way here from a remote, as long as somebody waits for it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class TooLate(Exception):
    """Nobody waits any more: what came too late must change nothing."""


class Bringing:
    """A thread brings, another one waits: the first tells that it moves, the second may give up at any moment."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._given_up = False
        self._moved = time.monotonic()

    @property
    def silence(self) -> float:
        """Seconds since something moved."""
        return time.monotonic() - self._moved

    def moved(self) -> None:
        """Something has come. Raises `TooLate`."""
        self._moved = time.monotonic()
        if self._given_up:
            raise TooLate

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Change what lies here; who gives up waits for the end of that. Raises `TooLate`."""
        with self._changing:
            self.moved()
            yield

    def give_up(self) -> None:
        """From now on nothing changes any more."""
        with self._changing:
            self._given_up = True
