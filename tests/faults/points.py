"""Where a fault can strike within a stage: every file operation, every write and read, every step.

Installed in a process of its own. Each moment at which the stage touches the disk, or ends a step of training, is
a numbered point; the fault strikes at one of them. What is written under a name, renamed and flushed is noted in a
journal outside, from which a power cut is simulated after the process is gone. The thread that saves has points as
the training has; at `state_every: 0` the two take turns, so that a stage's points are the same in each run.
"""

import errno
import io
import json
import os
import random
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
ERRORS = {name: getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES")}
CHANGING = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
WRITING = {*CHANGING, "create", "write", "fsync"}
READING = {"open", "read"}


@dataclass(frozen=True)
class Fault:
    """What strikes, and at which point; the points that count are those that it can strike.

    what: a signal's name, an errno's, `torn` (a write is cut short by a kill), `power` (a kill that also loses what
    was not flushed), or `clock` (which jumps at each call). seed: of what else is drawn.
    """

    what: str
    at: int = 0
    seed: int = 0

    @property
    def kinds(self) -> set[str] | None:
        """Which points it can strike; None for all."""
        match self.what:
            case "EIO read":
                return READING
            case "torn":
                return {"write"}
            case what if what in ERRORS:
                return WRITING
        return None


class Points:
    """Counts the points of one process, and strikes.

    Args:
        fault: What strikes, where.
        watched: Folders whose files count.
        journal: A folder outside of them.
    """

    def __init__(self, fault: Fault, watched: list[Path], journal: Path) -> None:
        self.fault = fault
        self.watched = [f"{path}{os.sep}" for path in watched]
        self.journal = journal
        self.count = 0
        self.random = random.Random(fault.seed)
        self.lock = threading.Lock()
        self.own = threading.local()  # busy: this thread does what is no point

    def install(self) -> None:
        """From now on, every point passes through `reach`."""
        from pipeline.training import loop

        self._open, self._fsync, self._replace, rate = io.open, os.fsync, os.replace, loop.learning_rate
        io.open = self.open
        os.fsync = self.fsync
        os.replace = self.replace

        def step(*args: Any) -> Any:
            self.reach("step")
            return rate(*args)

        loop.learning_rate = step  # it is asked for at each step
        if self.fault.what == "clock":
            now = time.time
            time.time = lambda: now() + self.random.uniform(-1e8, 1e8)
        sys.addaudithook(self.hear)

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        """Audited operations: opening, renaming, removing, making folders."""
        if getattr(self.own, "busy", False) or (event != "open" and event not in CHANGING) or not args:
            return
        if not self.is_watched(args[0]):
            return
        creates = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        self.reach("create" if creates else event)

    def is_watched(self, path: Any) -> bool:
        """Whether a path, of whatever type, lies in a watched folder."""
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        return os.path.abspath(os.fsdecode(path)).startswith(tuple(self.watched))

    def reach(self, kind: str, file: "Raw | None" = None, data: memoryview | None = None) -> None:
        """Count a point, and strike where it is the one."""
        if self.fault.kinds is not None and kind not in self.fault.kinds:
            return
        with self.lock:
            self.count += 1
            if self.count != self.fault.at:
                return
        what = self.fault.what
        if file is not None and data is not None and what in ("torn", "ENOSPC", "power"):
            file.put(data[: self.random.randrange(len(data) + 1)])
        if what in SIGNALS:
            os.kill(os.getpid(), SIGNALS[what])
        elif what in ("torn", "power"):
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "EIO read":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        elif what in ERRORS:
            raise OSError(ERRORS[what], os.strerror(ERRORS[what]))

    def open(self, file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        """`open`, with points at every binary write and read."""
        if "b" not in mode or not self.is_watched(file):
            return self._open(file, mode, *args, **kwargs)
        raw = Raw(file, mode.replace("b", ""), self)
        if "+" in mode:
            return io.BufferedRandom(raw)
        return io.BufferedReader(raw) if "r" in mode else io.BufferedWriter(raw)

    def fsync(self, descriptor: int) -> None:
        """`os.fsync`, noted."""
        self.reach("fsync")
        self._fsync(descriptor)
        self.note({"fsync": os.readlink(f"/proc/self/fd/{descriptor}"), "inode": os.fstat(descriptor).st_ino})

    def replace(self, source: Any, target: Any) -> None:
        """`os.replace`, noted together with what it replaced."""
        kept = None
        if self.fault.what == "power" and os.path.isfile(target):
            self.own.busy = True
            kept = str(self.journal / f"kept.{time.monotonic_ns()}")
            os.link(target, kept)
            self.own.busy = False
        self._replace(source, target)
        self.note({"rename": [os.path.abspath(source), os.path.abspath(target)], "kept": kept})

    def note(self, what: dict[str, Any]) -> None:
        """Write a line of the journal."""
        self.own.busy = True
        with self._open(self.journal / "journal", "a") as file:
            file.write(json.dumps(what) + "\n")
        self.own.busy = False


class Raw(io.FileIO):
    """A file whose writes and reads are points."""

    def __init__(self, file: Any, mode: str, points: Points) -> None:
        super().__init__(file, mode)
        self.points = points

    def put(self, data: memoryview) -> None:
        """Write without a point."""
        super().write(data)

    def write(self, data: Any, /) -> int:
        """One point, then the write."""
        view = memoryview(data)
        self.points.reach("write", self, view)
        return super().write(view)

    def readinto(self, buffer: Any, /) -> int | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One point, then the read."""
        self.points.reach("read")
        return super().readinto(buffer)

    def readall(self) -> bytes:
        """One point, then the read."""
        self.points.reach("read")
        return super().readall()
