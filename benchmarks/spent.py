"""CPU seconds of groups of processes, also of those that have ended and that nobody waited for.

Each group is a cgroup of version 2, which root may make. Whatever a process of it starts is in it, too.
"""

import os
import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.errors import UserError

MOUNTS = Path("/proc/self/mounts")
PATIENCE = 30.0  # seconds for processes that were killed to be gone


@dataclass(frozen=True)
class Group:
    """Processes; `folder` is the cgroup's."""

    folder: Path

    @property
    def seconds(self) -> float:
        """What all of them have computed so far."""
        fields = dict(line.split() for line in (self.folder / "cpu.stat").read_text().splitlines())
        return int(fields["usage_usec"]) / 1e6

    @property
    def processes(self) -> list[int]:
        """Those that run."""
        return [int(line) for line in (self.folder / "cgroup.procs").read_text().split()]

    @property
    def join(self) -> str:
        """The line of a shell by which it enters."""
        return f"echo 0 > {shlex.quote(str(self.folder / 'cgroup.procs'))}"

    def within(self, *command: str) -> tuple[str, ...]:
        """The same command, whose processes are in the group."""
        return "sh", "-c", f'{self.join} && exec "$@"', "sh", *command

    def remove(self) -> None:
        """Give the group up, after its last process, which is in it for a moment after its end."""
        until = time.monotonic() + PATIENCE
        while self.folder.exists():
            try:
                self.folder.rmdir()
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)

    def end(self) -> None:
        """Kill all of them."""
        until = time.monotonic() + PATIENCE
        while (running := self.processes) and time.monotonic() < until:
            for process in running:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.02)


@contextmanager
def groups(*names: str) -> Iterator[dict[str, Group]]:
    """Yield new groups by name; what runs in them at the end is killed.

    Raises:
        UserError: This machine has no such groups for us.
    """
    made = {}
    try:
        for name in names:
            folder = _top() / f"cohobate-{os.getpid()}-{name}"
            try:
                folder.mkdir()
            except OSError as error:
                raise UserError(f"CPU seconds are counted by a cgroup, which cannot be made here ({error})") from None
            made[name] = Group(folder)
        yield made
    finally:
        for group in made.values():
            group.end()
        for group in made.values():
            group.remove()


def _top() -> Path:
    """Where cgroups of version 2 are mounted."""
    for line in MOUNTS.read_text().splitlines() if MOUNTS.exists() else ():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise UserError("CPU seconds are counted by cgroups of version 2, which this machine does not mount")
