"""One stage on a machine that shares with the driver's nothing but the remote.

It knows nothing of who chose the machine: an engine there has a `Template`, which runs this file as a program.
"""

import os
import platform
import signal
import sys
from contextlib import suppress
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path

from pipeline.base import files
from pipeline.base.paths import PLAN
from pipeline.base.signals import end_with_parent
from pipeline.dvc import lock, travel
from pipeline.engines.machines import Ended, Errand
from pipeline.engines.process import SIGNALS, UNCHANGED, Process
from pipeline.engines.workspace import workspace
from pipeline.planning.specs.machine import read_machine


def main() -> None:
    """Do what the connection of the given number asks for, one errand after another, until nobody asks any more."""
    end_with_parent()
    asks = Connection(int(sys.argv[1]))
    with suppress(EOFError):
        while True:
            if given := asks.recv():  # a request to stop may come when the errand has just ended
                errand, code, environment = given
                ended, modules = _ended(errand, code, environment, asks)
                asks.send(ended)
                _import(modules)


def _ended(errand: Errand, code: Path, environment: dict[str, str], asks: Connection) -> tuple[Ended, list[str]]:
    """Do it in a process of its own, which is asked to stop when anything more comes by the connection.

    Returns what became of it, and the modules that it imported.
    """
    hears, tells = Pipe(duplex=False)
    with hears, tells:
        work = partial(_bring_about_in, tells, errand, code)
        process = Process(errand.stage, {**environment, **errand.environment}, work)
        entry, modules = None, []
        while not process.has_ended:
            ready = wait([asks, hears, process.sentinel])
            if asks in ready:
                asks.recv()
                process.stop()
            if hears in ready:
                entry, modules = hears.recv()
        if hears.poll():
            entry, modules = hears.recv()
        output = process.close()
        status = UNCHANGED if process.unchanged else process.poll()
        return Ended(status or 0, output, entry, platform.node()), modules


def _bring_about_in(tells: Connection, errand: Errand, code: Path, stage: str) -> bool:
    before = {*sys.modules}
    # Until the stage's command begins there is nothing to save: a request to stop ends this process at once.
    handlers = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}

    def ready() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        _compute_on(errand.device)

    with workspace(code, errand.remote, {stage: None, **errand.entries}) as folder:
        os.chdir(folder)
        ran = travel.bring_about(stage, ready)
        entry = lock.read_stages(Path("dvc.lock"), [stage]).stages[stage]
        tells.send((entry, [name for name in sys.modules if name not in before]))
    return ran


def _import(modules: list[str]) -> None:
    """Import what the errand before this one needed, such as the library of its remote: the next begins with that."""
    for name in modules:
        with suppress(Exception):  # of whatever class: what cannot be imported here is imported there again
            import_module(name)


def _compute_on(device: str) -> None:
    """Let the plan say what computes: no stage depends on that file, and each reads it."""
    if read_machine().device != device:
        path = PLAN / "machine.json"
        files.write_sealed(path, {**files.read_sealed(path), "device": device})


if __name__ == "__main__":
    main()
