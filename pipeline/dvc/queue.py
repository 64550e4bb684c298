"""DVC's queue of experiments, run to its end: whoever waits for it looks whether anybody still works on it."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from pipeline.base import programs
from pipeline.base.errors import UserError
from pipeline.dvc import cache

FOLLOW = (sys.executable, "-m", "dvc", "exp", "run", "--run-all", "--jobs")
ADDING = 600.0  # seconds: git stores the repository's changes
EVERY = 2.0  # seconds between two looks
PATIENCE = 20.0  # seconds without a worker: a new one needs a few to begin
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


def add(name: str, overrides: Sequence[str], again: bool) -> None:
    """Queue one experiment: params.yaml with `overrides`, each `key=value`. With `again`, one that failed.

    Raises:
        UserError: DVC refuses it; in DVC's words.
    """
    arguments = ["exp", "run", "--queue", "--name", name, *(["--force"] if again else [])]
    arguments += [word for each in overrides for word in ("-S", each)]
    ran = programs.run([sys.executable, "-m", "dvc", *arguments], ADDING)
    if ran.returncode != 0:
        error = ran.stderr.partition("ERROR: ")[2] or ran.stderr or ran.stdout
        raise UserError(f"`dvc {' '.join(arguments)}` failed: {' '.join(error.split())}")


def run(jobs: int) -> None:
    """Run what waits in the queue, `jobs` experiments at a time, and show what they print, until it is empty.

    Raises:
        UserError: Experiments wait, and nobody is left to run them.
    """
    follower = subprocess.Popen([*FOLLOW, str(jobs)])
    try:
        _wait(follower)
    finally:
        if follower.poll() is None:
            follower.terminate()
            follower.wait()


def _wait(follower: subprocess.Popen[bytes]) -> None:
    seen = time.monotonic()
    while True:
        try:
            follower.wait(EVERY)
            return
        except subprocess.TimeoutExpired:
            if workers():
                seen = time.monotonic()
            elif time.monotonic() - seen > PATIENCE:
                raise UserError(
                    "DVC's queue has stopped: none of its workers is alive, and not all experiments have run. "
                    f"{_logs()} may say why. What `dvc queue status` still calls running, `dvc queue kill NAME` ends; "
                    "then give the command again"
                ) from None


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
