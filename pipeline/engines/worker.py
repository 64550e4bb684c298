"""One stage on a machine that shares with the driver's nothing but the remote.

It knows nothing of who chose the machine: an engine calls `execute` there, which runs this file as a program.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.base import files
from pipeline.base.paths import PLAN
from pipeline.base.signals import end_with_parent
from pipeline.console.errors import run
from pipeline.dvc import internals, lock, travel
from pipeline.dvc.travel import Remote
from pipeline.engines.process import guarded
from pipeline.engines.workspace import workspace
from pipeline.planning.specs.machine import read_machine

EVERY = 0.2  # seconds between checks whether a stop was asked for


@dataclass(frozen=True)
class Errand:
    """What a machine is to do.

    Attributes:
        stage: As DVC names it.
        entries: What dvc.lock says of it, if it has run, and of those that it needs.
        device: What computes, in place of `machine.device`.
        environment: Added to the machine's own.
    """

    stage: str
    entries: dict[str, Any]
    remote: Remote
    device: str
    environment: dict[str, str]


@dataclass(frozen=True)
class Ended:
    """What became of it.

    Attributes:
        status: Of the process, as of `process.guarded`.
        output: All that the stage and DVC printed.
        entry: What dvc.lock is to say of the stage; None where it is not done.
        host: The machine's name.
    """

    status: int
    output: str
    entry: dict[str, Any] | None
    host: str


def execute(errand: Errand, code: Path, stop_asked: Callable[[], bool]) -> Ended:
    """Do it in a process of its own, and return when that has ended.

    Args:
        code: A folder with the repository's code, which stays as it is.
        stop_asked: Whether a stop was asked for: the stage then saves its progress and ends.
    """
    with tempfile.TemporaryDirectory(prefix="cohobate.") as aside, tempfile.TemporaryFile() as output:
        entry = Path(aside) / "entry.json"
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.engines.worker", str(entry)],
            cwd=code,
            env={**os.environ, **errand.environment},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdin
        with suppress(BrokenPipeError), process.stdin as given:  # it may have ended, and its output says why
            given.write(json.dumps(asdict(errand)).encode())
        told = False
        while process.poll() is None:
            if stop_asked() and not told:
                told = True
                process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(EVERY)
        output.seek(0)
        said = output.read().decode(errors="replace")
        found = files.read_json(entry) if entry.exists() else None
        return Ended(process.returncode, said, found, platform.node())


def bring_about(stage: str) -> bool:
    """Run a stage in this workspace with what the remote has, and put what it leaves there; whether it was due."""
    _make_ready(stage)
    return _complete(stage)


def main() -> None:
    """Do the errand that standard input gives, and write dvc.lock's entry to the file that is named."""
    end_with_parent()
    given = json.load(sys.stdin)
    errand = Errand(**{**given, "remote": Remote(**given["remote"])})
    target = Path(sys.argv[1])

    def work() -> bool:
        ran = _complete(errand.stage)
        files.write_json(target, lock.read_stages(Path("dvc.lock"), [errand.stage]).stages[errand.stage])
        return ran

    with workspace(Path.cwd(), errand.remote, errand.entries) as folder:
        os.chdir(folder)
        _make_ready(errand.stage)
        _compute_on(errand.device)
        guarded(work)


def _make_ready(stage: str) -> None:
    travel.fetch(stage)
    travel.recall(stage)


def _complete(stage: str) -> bool:
    ran = internals.run(stage, pull=True)
    travel.send(stage)
    return ran


def _compute_on(device: str) -> None:
    """Let the plan say what computes: no stage depends on that file, and each reads it."""
    if read_machine().device != device:
        path = PLAN / "machine.json"
        files.write_sealed(path, {**files.read_sealed(path), "device": device})


if __name__ == "__main__":
    run(main)
