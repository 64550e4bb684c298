"""Folders of saved training on the disk: which are ours, and to remove one. Nothing here imports torch."""

import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.base.locks import LOCK
from pipeline.lineage.node import NAME

KEY = re.compile(r"[0-9a-f]{64}")
# Names of all that is written there, by who writes it: those of `files.replacing` lie beside what it replaces.
FILES = re.compile(
    r"lock|finished|state|state\.previous|state\.tmp"  # training.state
    r"|environment\.json|\.environment\.json\.\d+(\.old)?\.tmp"  # training.labelling
)
PARTS = "parts"  # training.labelling, too
COMING = ".shared.{}.tmp"  # training.shared_labels, with the number of a process
IN_PARTS = re.compile(
    r"whole|parts|view_\d{3,}\.(safetensors|tmp)"  # labels.parts
    r"|basis|basis\.safetensors|\.basis(\.safetensors)?\.\d+(\.old)?\.tmp"  # labels.kept_basis
    r"|\.shared\.\d+\.tmp"
)


class Busy(Exception):
    """Another process holds a folder, and to wait for it would be to wait for its whole training."""


@contextmanager
def taken(folder: Path) -> Iterator[None]:
    """Hold a folder, which is made where it is missing, for a moment. Raises `Busy`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_there = os.path.samestat(os.fstat(lock.fileno()), (folder / LOCK).stat())
        except (BlockingIOError, FileNotFoundError):
            raise Busy from None
        if not is_there:  # another process has removed the folder, and a third one made it
            raise Busy
        yield


def locked_folders(root: Path) -> Iterator[Path]:
    """Every folder below `root` that holds something called `lock`, sorted; no link is followed."""
    for name, inside, files in os.walk(root):
        inside.sort()
        if LOCK in files:
            yield Path(name)


def contents(folder: Path, root: Path) -> list[Path] | None:
    """All files of a folder of saved training; None where it is something else.

    It is ours where it lies at `<node>/<key>` below `root` and holds nothing but regular files that we write, by name:
    `root` may be given wrongly, and lead to folders of others.
    """
    node = folder.relative_to(root).parent.as_posix()
    if not KEY.fullmatch(folder.name) or not NAME.fullmatch(node):
        return None
    found: list[Path] = []
    for place, known in ((folder, FILES), (folder / PARTS, IN_PARTS)):
        if not _is_folder(place):
            continue
        for path in sorted(place.iterdir()):
            if place == folder and path.name == PARTS and _is_folder(path):
                continue
            if not known.fullmatch(path.name) or not stat.S_ISREG(path.lstat().st_mode):
                return None
            found.append(path)
    return found


def remove(folder: Path, files: list[Path]) -> None:
    """Remove these files, then the folder; what came meanwhile stays, and the folder with it.

    The lock goes last: until then whoever wants the folder waits.
    """
    for path in sorted(files, key=lambda path: path.name == LOCK):
        path.unlink(missing_ok=True)
    for place in (folder / PARTS, folder):
        with suppress(OSError):
            place.rmdir()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
