"""A private copy of the code, in which one stage runs on a machine that has no repository."""

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.base import files
from pipeline.base.locks import LOCK, held
from pipeline.config.yaml import dump
from pipeline.dvc import travel
from pipeline.dvc.travel import Remote

VARIABLE = "COHOBATE_MACHINE"


def home() -> Path:
    """Where this machine keeps what its workspaces share: DVC's cache, and the state of training.

    It is `$COHOBATE_MACHINE`, else a folder of the user's.
    """
    given = os.environ.get(VARIABLE)
    return Path(given) if given else Path("~/.cache/cohobate/machine").expanduser()


@contextmanager
def workspace(code: Path, remote: Remote, entries: dict[str, Any]) -> Iterator[Path]:
    """Yield a copy of the code as a DVC repository without git, which is gone afterwards.

    Args:
        code: A folder with `dvc.yaml` and all that it needs.
        remote: Its default remote.
        entries: What its dvc.lock says, by stage.
    """
    top = home().absolute() / "work"
    _sweep(top)
    folder = top / uuid.uuid4().hex
    with held(folder, lambda _: None):
        try:
            inside = folder / "repository"
            shutil.copytree(code, inside, symlinks=True)
            travel.settle(inside / ".dvc", remote, home().absolute() / "cache", folder / "aside")
            files.write_text(inside / "dvc.lock", dump({"schema": "2.0", "stages": entries}))
            yield inside
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(top: Path) -> None:
    """Remove the workspaces of processes that were killed: nobody holds them."""
    for lock in top.glob(f"*/{LOCK}"):
        with suppress(OSError), lock.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent)
