"""One stage on a machine that shares with the driver's nothing but the remote.

It knows nothing of who chose the machine: an engine there has a `Template`, which runs this file as a program.
"""

import os
import platform
import sys
import tempfile
from contextlib import suppress
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection, wait
from pathlib import Path

from pipeline.base import files
from pipeline.base.paths import PLAN
from pipeline.base.signals import end_with_parent
from pipeline.dvc import lock, travel
from pipeline.engines.machines import Ended, Errand
from pipeline.engines.process import UNCHANGED, Process
from pipeline.engines.workspace import workspace
from pipeline.planning.specs.machine import read_machine

ENTRY, MODULES = "entry.json", "modules.json"


def main() -> None:
    """Do what the connection of the given number asks for, one errand after another, until nobody asks any more."""
    end_with_parent()
    asks = Connection(int(sys.argv[1]))
    with suppress(EOFError):
        while True:
            if given := asks.recv():  # a request to stop may come when the errand has just ended
                errand, code, environment = given
                asks.send(_ended(errand, code, environment, asks))


def _ended(errand: Errand, code: Path, environment: dict[str, str], asks: Connection) -> Ended:
    """Do it in a process of its own, which is asked to stop when anything more comes by the connection."""
    with tempfile.TemporaryDirectory(prefix="cohobate.") as aside:
        work = partial(_bring_about_in, Path(aside), errand, code)
        process = Process(errand.stage, {**environment, **errand.environment}, work)
        while not process.has_ended:
            if asks in wait([asks, process.sentinel]):
                asks.recv()
                process.stop()
        output = process.close()
        status = UNCHANGED if process.unchanged else process.poll()
        entry, modules = Path(aside, ENTRY), Path(aside, MODULES)
        if modules.exists():
            _import(files.read_json(modules))
        return Ended(status or 0, output, files.read_json(entry) if entry.exists() else None, platform.node())


def _bring_about_in(aside: Path, errand: Errand, code: Path, stage: str) -> bool:
    before = {*sys.modules}
    with workspace(code, errand.remote, {stage: None, **errand.entries}) as folder:
        os.chdir(folder)
        ran = travel.bring_about(stage, partial(_compute_on, errand.device))
        files.write_json(aside / ENTRY, lock.read_stages(Path("dvc.lock"), [stage]).stages[stage])
    files.write_json(aside / MODULES, [name for name in sys.modules if name not in before])
    return ran


def _import(modules: list[str]) -> None:
    """Import what the errand before this one needed, such as the library of its remote: the next begins with that."""
    for name in modules:
        with suppress(ImportError):
            import_module(name)


def _compute_on(device: str) -> None:
    """Let the plan say what computes: no stage depends on that file, and each reads it."""
    if read_machine().device != device:
        path = PLAN / "machine.json"
        files.write_sealed(path, {**files.read_sealed(path), "device": device})


if __name__ == "__main__":
    main()
