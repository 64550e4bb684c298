"""A stage in a DVC process of its own.

It is a fork of this one, which has imported DVC to read the graph: importing takes longer than what DVC does for a
small stage.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import NoReturn

import psutil

from pipeline.base.errors import UserError
from pipeline.base.signals import end_with_parent
from pipeline.console.errors import explain
from pipeline.console.progress import warn
from pipeline.dvc import internals

UNCHANGED = 10  # exit status of the process where the stage was not due
AGAIN = 0.2  # seconds
TAIL = 4096  # bytes
FORK = multiprocessing.get_context("fork")
SIGNALS = {signal.SIGINT, signal.SIGTERM}


class Process:
    """A stage that runs.

    What it and DVC print goes to a file and not through a pipe: if this one dies, what a stage prints while it saves
    its state must not fail.

    Attributes:
        stage: As DVC names it.
        began: When, in seconds of the monotonic clock.
        why: Where it failed, for what reason: in its own words, if it has printed any.
    """

    def __init__(
        self, stage: str, environment: dict[str, str], bring_about: Callable[[str], bool] | None = None
    ) -> None:
        """Begin; `environment` is added to ours.

        bring_about: What runs the stage in the new process, and returns whether it was due; DVC alone where not given.
        """
        self.stage = stage
        self.began = time.monotonic()
        self.why = ""
        self._status: int | None = None
        self._output = tempfile.TemporaryFile()  # noqa: SIM115, it is open as long as the stage runs
        work = partial(bring_about or internals.run, stage)
        arguments = (work, environment, self._output.fileno(), os.getpid())
        self._process = FORK.Process(target=_run, args=arguments, name=stage, daemon=True)
        sys.stdout.flush()
        # Until the new process has its own handlers, a request to stop would be lost in it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @property
    def sentinel(self) -> int:
        """What `multiprocessing.connection.wait` waits for."""
        return self._process.sentinel

    @property
    def has_ended(self) -> bool:
        """Whether it is time to `close`."""
        return self._process.exitcode is not None

    @property
    def unchanged(self) -> bool:
        """Whether DVC found that the stage was not due."""
        return self._process.exitcode == UNCHANGED

    def poll(self) -> int | None:
        """0 where the stage is done or was not due, another status where it failed; None before `close`."""
        return self._status

    def stop(self) -> None:
        """Ask the stage to save its state and end; a second time, later: to end at once."""
        self._process.terminate()

    def newest(self) -> str:
        """The last line of the output so far."""
        lines = self._read(TAIL).splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def close(self) -> str:
        """All output of one that has ended."""
        output = self._read()
        self._output.close()
        self._status = 0 if self.unchanged else self._process.exitcode
        self.why = reason(output, self._process.exitcode or 0)
        return output

    def _read(self, last: int | None = None) -> str:
        """The last so many bytes, or all; the position in the file belongs to those who write."""
        file = self._output.fileno()
        size = os.fstat(file).st_size
        start = 0 if last is None else max(0, size - last)
        return os.pread(file, size - start, start).decode(errors="replace")


def reason(output: str, status: int) -> str:
    """Why a process failed that printed this: the stage's own sentence, else DVC's, else what ended the process."""
    for mark in ("error: ", "ERROR: "):
        if found := [line for line in output.splitlines() if line.startswith(mark)]:
            return found[-1].removeprefix(mark)
    return f"{signal.Signals(-status).name} ended it" if status < 0 else f"it exited with {status}"


def _run(work: Callable[[], bool], environment: dict[str, str], output: int, parent: int) -> None:
    """`dvc repro --single-item`, in the new process."""
    os.setpgid(0, 0)  # a terminal's Ctrl-C is for the command alone, which tells each stage once
    end_with_parent()
    if os.getppid() != parent:
        sys.exit(1)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.environ.update(environment)
    guarded(work)


def guarded(work: Callable[[], bool]) -> NoReturn:
    """Run a stage, whose command is told of requests to stop, and exit: what kept it from its work is one sentence.

    work: Returns whether the stage was due.
    """
    was_stopped = _tell_the_stage()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    try:
        ran = work()
    except Exception as error:
        if was_stopped():
            sys.exit(1)  # what DVC makes of a stage that ended as it was asked to tells a person nothing
        if (sentence := explain(error)) is None:
            raise
        # DVC's own words count for less than the stage's sentence, which is printed by now, if it has one.
        mark = "ERROR" if isinstance(error, UserError) else "error"
        warn(f"{mark}: {sentence}")
        sys.exit(1)
    sys.exit(0 if ran else UNCHANGED)


def _tell_the_stage() -> Callable[[], bool]:
    """Hand a request to stop on to the stage's command, once; DVC itself ends when that has ended, its files whole.

    DVC begins the command at a moment that we do not know, so we look again until the end. Returns whether there was
    such a request.
    """
    told: set[int] = set()
    stopped = False

    def tell(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        if number != signal.SIGALRM:
            told.clear()
        for child in psutil.Process().children():
            if child.pid not in told:
                told.add(child.pid)
                with suppress(psutil.NoSuchProcess):
                    child.terminate()
        signal.setitimer(signal.ITIMER_REAL, AGAIN)

    for number in (*SIGNALS, signal.SIGALRM):
        signal.signal(number, tell)
    return lambda: stopped
