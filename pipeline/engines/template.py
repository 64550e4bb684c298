"""A process that has imported DVC, and forks for each errand: importing takes longer than a small stage's DVC does."""

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import IO

from pipeline.engines.machines import Ended, Errand

EVERY = 0.2  # seconds between checks whether a stop was asked for


class Template:
    """It begins with the first errand, and again after one with which it died; it ends with this process.

    Args:
        code: A folder with the repository's code, which stays as it is.
    """

    def __init__(self, code: Path) -> None:
        self.code = code
        self._running: subprocess.Popen[bytes] | None = None
        self._asks: Connection
        self._says: IO[bytes]

    def execute(self, errand: Errand, stop_asked: Callable[[], bool]) -> Ended:
        """Do it in a process of its own, and return when that has ended.

        stop_asked: Whether a stop was asked for: the stage then saves its progress and ends.
        """
        running = self._running
        if running is None or running.poll() is not None:
            self.close()
            self._running = running = self._begin()
        told = False
        try:
            self._asks.send((errand, self.code, dict(os.environ)))
            while not self._asks.poll(EVERY):
                if stop_asked() and not told:
                    told = True
                    self._asks.send(None)
            return self._asks.recv()
        except (EOFError, OSError):  # somebody has killed it
            status = running.wait() or 1
            self._says.seek(0)
            return Ended(status, self._says.read().decode(errors="replace"), None, platform.node())
        except BaseException:  # what it answers to this errand is no answer to the next
            self.close()
            raise

    def close(self) -> None:
        """End it, with what it does."""
        if self._running:
            self._asks.close()
            self._running.wait()
            self._says.close()
            self._running = None

    def _begin(self) -> subprocess.Popen[bytes]:
        self._asks, theirs = Pipe()
        self._says = tempfile.TemporaryFile()  # noqa: SIM115, it is open as long as the process runs
        with theirs:
            number = theirs.fileno()
            command = [sys.executable, "-m", "pipeline.engines.worker", str(number)]
            # A session of its own: what is meant for this process, such as a terminal's Ctrl-C, is not for the stage.
            return subprocess.Popen(
                command,
                cwd=self.code,
                stdout=self._says,
                stderr=subprocess.STDOUT,
                pass_fds=[number],
                start_new_session=True,
            )
