"""DVC's queue of experiments, run to its end: whoever waits for it looks whether anybody still works on it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

from pipeline.base import programs
from pipeline.base.errors import UserError
from pipeline.dvc import cache

FOLLOW = (sys.executable, "-m", "pipeline.dvc.tasks")
ADDING = 600.0  # seconds: git stores the repository's changes
EVERY = 2.0  # seconds between two looks
PATIENCE = 20.0  # seconds without a worker: a new one needs a few to begin
Log = Callable[[str], None]
WORKERS = Path("tmp/exps/celery")  # below .dvc


def check() -> None:
    """Refuse what the queue cannot do.

    Raises:
        UserError: DVC's workers could not be told where the cache is, and would die of it.
    """
    folder = cache.folder()
    if folder is not None and not str(folder).isascii():
        raise UserError(
            f"DVC's queue cannot use a cache whose path has letters beyond ASCII ({folder}): move the repository, or "
            "name another folder for the cache (`dvc cache dir --local PATH`)"
        )


def add(name: str, overrides: Sequence[str]) -> None:
    """Queue one experiment: params.yaml with `overrides`, each `key=value`.

    Raises:
        UserError: DVC refuses it; in DVC's words.
    """
    # Without --force, which would run again what is done already: of one that failed DVC holds no name.
    arguments = ["exp", "run", "--queue", "--name", name]
    arguments += [word for each in overrides for word in ("-S", each)]
    ran = programs.run([sys.executable, "-m", "dvc", *arguments], ADDING)
    if ran.returncode != 0:
        error = ran.stderr.partition("ERROR: ")[2] or ran.stderr or ran.stdout
        raise UserError(f"`dvc {' '.join(arguments)}` failed: {' '.join(error.split())}")


def clear(names: Collection[str], log: Log) -> list[str]:
    """Give up what the queue calls running and nobody runs: those of these names, which are returned.

    Of those of others a sentence is logged: what becomes of them is for whoever queued them to say.
    """
    dead = _dead()
    for task in dead:
        if task.name in names:
            tasks().give_up(task)
    if others := [task.name for task in dead if task.name not in names]:
        log(
            f"DVC's queue calls {', '.join(others)} running, but nobody runs them any more: "
            f"`dvc queue kill {' '.join(others)}` clears them"
        )
    return [task.name for task in dead if task.name in names]


def run(names: Collection[str], jobs: int, log: Log) -> None:
    """Run what waits in the queue, `jobs` experiments at a time, and show what these print, until they have ended.

    Raises:
        UserError: They wait, or are called running, and nobody is left to run them.
    """
    follower = subprocess.Popen([*FOLLOW, str(jobs), *names])
    try:
        _wait(follower, names, log)
    finally:
        if follower.poll() is None:
            follower.terminate()
            follower.wait()
            log("")  # what it showed may end in the middle of a line


def _wait(follower: subprocess.Popen[bytes], names: Collection[str], log: Log) -> None:
    seen = looked = time.monotonic()
    while True:
        try:
            follower.wait(EVERY)
            return
        except subprocess.TimeoutExpired:
            if workers():
                seen = time.monotonic()
                if seen - looked > PATIENCE:
                    looked = seen
                    # Of several workers one may be dead, and what it ran would be followed for ever.
                    if gone := clear(names, log):
                        raise UserError(
                            f"{', '.join(gone)} ended without a word, as if killed: give the command again to go on"
                        ) from None
            elif time.monotonic() - seen > PATIENCE:
                clear(names, log)
                raise UserError(
                    "DVC's queue has stopped: none of its workers is alive, and not all experiments have run. "
                    f"{_logs()} may say why; give the command again to go on"
                ) from None


def tasks() -> ModuleType:
    """What asks DVC itself, which takes long to import: only where there is a queue."""
    from pipeline.dvc import tasks

    return tasks


def _dead() -> list[Any]:
    """Tasks that the queue calls running and nobody runs, twice in a row: between two looks one may have begun."""
    if not _folder().is_dir():
        return []
    found = [task for task in tasks().running() if _is_dead(task)]
    if not found:
        return []
    time.sleep(EVERY)
    again = {task.revision for task in tasks().running() if _is_dead(task)}
    return [task for task in found if task.revision in again]


def _is_dead(task: Any) -> bool:
    """Whether nobody runs a task. A worker that is alive may be about to begin it, or to collect what it left."""
    if not workers():
        return True
    return task.pid is not None and task.returncode is None and task.process() is None


def workers() -> list[int]:
    """Process numbers of the queue's workers that are alive."""
    found = []
    for path in sorted(_folder().glob("dvc-exp-worker-*.json")):
        try:
            number = int(json.loads(path.read_text())["pid"])
            if "queue-worker" in psutil.Process(number).cmdline():
                found.append(number)
        except (OSError, ValueError, KeyError, TypeError, psutil.Error):
            continue  # just being written, or gone
    return found


def _logs() -> str:
    return ", ".join(str(path) for path in sorted(_folder().glob("dvc-exp-worker-*.out"))) or "No log"


def _folder() -> Path:
    return (cache.repository() or Path.cwd()) / ".dvc" / WORKERS
