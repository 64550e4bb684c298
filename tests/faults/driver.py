"""A command that runs the lineage, followed as it goes, so that a fault can strike when a stage has begun."""

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import psutil

from tests.faults.small import TARGETS, running, wait
from tests.scratch import ROOT, Scratch

DVC = ("dvc", "repro", *TARGETS)
JOBS = (sys.executable, "-m", "pipeline", "repro", "--jobs", "2", *TARGETS)
SEEDS = (sys.executable, "-m", "pipeline", "seeds", "--count", "2")
ON = ("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.engines.fake_machines", "drive", *TARGETS)
OTHER = {DVC: JOBS, JOBS: DVC}
NAMED = {DVC: "dvc repro", JOBS: "repro --jobs 2", SEEDS: "seeds", ON: "repro --on"}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
WHOM = ("the driver", "its group", "a stage", "all")
LONGEST = 600.0  # seconds
STOPPED = re.compile(r"^stopped.*: give the command again to go on$", re.MULTILINE)


class Driver:
    """A command that runs in a repository.

    Args:
        own: The repository.
        command: What runs.

    Attributes:
        sent: The last signal that was sent to it or to what it started; 0 where none was.
    """

    def __init__(self, own: Scratch, command: tuple[str, ...]) -> None:
        self.own = own
        self.command = command
        self.process = own.start(*command)
        self.sent = 0
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def said(self) -> str:
        """All that it has printed so far."""
        return "".join(self._lines)

    def reach(self, stage: str, seconds: float) -> None:
        """Wait until so long after the stage has begun, or until the command has ended."""
        begun = re.compile(rf"^(Running stage '{stage}'|{stage} begins)", re.MULTILINE)
        wait(lambda: bool(begun.search(self.said)) or self.process.poll() is not None, lambda: self.said, LONGEST)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def send(self, number: signal.Signals, whom: str) -> None:
        """Send a signal to the driver, its group, a stage that runs, or to all that work for the repository."""
        self.sent = number
        with suppress(ProcessLookupError):
            match whom:
                case "the driver":
                    self.process.send_signal(number)
                case "its group":
                    os.killpg(self.process.pid, number)
                case _:
                    strike(self.own, number, "stages" if whom == "a stage" else "")

    def end(self) -> str:
        """Wait for its end; what it printed, which holds no traceback.

        Raises:
            AssertionError: It runs on, or ended in a traceback.
        """
        try:
            self.process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            strike(self.own, signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"{NAMED.get(self.command, self.command)} does not end:\n{self.tail}") from None
        # Who outlives it may hold its output open: that is for `nothing_runs` to find.
        self._reader.join(5)
        assert "Traceback" not in self.said, f"a traceback:\n{self.tail}"
        return self.said

    def ended(self) -> str:
        """Wait for its end; how it ended, in a word or two.

        Raises:
            AssertionError: It ended without a sentence that tells the user what happened, or in a traceback.
        """
        said, status = self.end(), self.process.returncode
        if status == 0:
            return "had finished"
        if status == -self.sent:
            return f"ended by {signal.Signals(self.sent).name}"  # at once: it can say nothing
        if self.command in (JOBS, ON) and status > 128:
            assert STOPPED.search(said), f"stopped without a word:\n{self.tail}"
            return "stopped"
        assert re.search(r"^(error|ERROR): ", said, re.MULTILINE), f"status {status} without a word:\n{self.tail}"
        return "failed with a sentence"

    @property
    def tail(self) -> str:
        """The last of what it printed."""
        return self.said[-3000:]

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._lines.append(line)


def strike(own: Scratch, number: signal.Signals, words: str = "") -> int:
    """Send a signal to all that work for the repository and have this word in their command; how many there were."""
    struck = 0
    for process in running(own):
        with suppress(psutil.Error):  # it was faster
            if not words or words in process.cmdline():
                process.send_signal(number)
                struck += 1
    return struck


def resumed(own: Scratch, command: tuple[str, ...]) -> None:
    """Run a command to its end, which must be a good one."""
    driver = Driver(own, command)
    said = driver.end()
    assert driver.process.returncode == 0, f"{NAMED[command]} did not go on:\n{said[-3000:]}"
