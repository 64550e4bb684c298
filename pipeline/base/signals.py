"""Being ended from outside: by Ctrl-C, by a scheduler, or because DVC died.

Within training a request to stop is kept until the step is done, so that the state can be saved;
elsewhere it ends the process as usual.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

PR_SET_PDEATHSIG = 1
ONE = 1.0  # seconds


class Stopped(Exception):
    """Training was asked to stop, and its state is saved."""


class TookTooLong(Exception):
    """A block of `limited` has used up its time."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `TookTooLong` in the block once it has taken so long: for searches of unknown length in Python.

    Only the first thread can be told; in others there is no limit.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise TookTooLong

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def end_with_parent() -> None:
    """Ask the kernel for SIGTERM when DVC dies: after `kill -9` of DVC a stage would go on as an orphan."""
    parent = os.getppid()
    _ask_at_parents_death(signal.SIGTERM)
    if sys.platform == "linux" and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def _ask_at_parents_death(number: int) -> None:
    """Ask the kernel for a signal when the thread ends that started this process; 0: for none."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


@contextmanager
def deferred() -> Iterator[Callable[[], int]]:
    """Yield a function that gives the signal that asked for a stop, 0 where none did.

    A second request ends the process at once; requests within `ONE` second are one.

    Whoever was asked is not told of DVC's death any more: the kernel tells it at the end of each of DVC's threads, and
    the last of them may end when the training has just left here, which would then end it without a word.
    """
    asked = 0.0
    first = 0

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal asked, first
        _ask_at_parents_death(0)
        if asked and time.monotonic() - asked < ONE:
            return
        if asked:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        asked = time.monotonic()
        first = number

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: first
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
