"""A private copy of the code, in which one stage runs on a machine that has no repository."""

import fcntl
import os
import shutil
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.base import files
from pipeline.base.locks import LOCK, held
from pipeline.config.yaml import dump, read_yaml
from pipeline.dvc import travel
from pipeline.dvc.address import Remote

SHOWN = ("metrics", "plots")  # parts of dvc.yaml
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
        entries: What its dvc.lock says, by stage; None of one that has not run. Other stages are none of its.
    """
    top = home().absolute() / "work"
    _sweep(top)
    folder = top / uuid.uuid4().hex
    with held(folder, lambda _: None):
        try:
            inside = folder / "repository"
            _lay_out(code, inside)
            travel.settle(inside / ".dvc", remote, home().absolute() / "cache", folder / "aside")
            files.write_text(inside / "dvc.yaml", dump(part(read_yaml(inside / "dvc.yaml"), entries)))
            known = {name: entry for name, entry in entries.items() if entry}
            files.write_text(inside / "dvc.lock", dump({"schema": "2.0", "stages": known}))
            yield inside
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def part(graph: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """A dvc.yaml of these stages alone, and without what only shows results: DVC reads all of it several times."""
    stages = {}
    for name, stage in graph["stages"].items():
        keys = {key for first, _, key in (each.partition("@") for each in names) if first == name}
        if isinstance(each := stage.get("foreach"), dict):
            stage = {**stage, "foreach": {key: each[key] for key in each if str(key) in keys}}
        if keys:
            stages[name] = stage
    return {**{key: value for key, value in graph.items() if key not in SHOWN}, "stages": stages}


def _lay_out(code: Path, folder: Path) -> None:
    """Copy the code; packages are linked instead, so that Python compiles them once on each machine."""
    folder.mkdir(parents=True)
    for path in code.absolute().iterdir():
        there = folder / path.name
        if (path / "__init__.py").is_file():
            there.symlink_to(path)
        elif path.is_dir():
            shutil.copytree(path, there, symlinks=True)
        else:
            shutil.copy2(path, there)


def _sweep(top: Path) -> None:
    """Remove the workspaces of processes that were killed: nobody holds them."""
    for lock in top.glob(f"*/{LOCK}"):
        with suppress(OSError), lock.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent)
