"""Remove training state that nothing will go on with."""

import fcntl
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.training.state import State


@dataclass(frozen=True)
class Collected:
    """How many states were removed and their bytes; left: those that a process holds, and unfinished ones."""

    removed: int
    bytes: int
    held: int
    unfinished: int


def collect(root: Path, *, unfinished: bool = False) -> Collected:
    """Remove the state of finished training below `root`; no process holds it, and its result is in the DVC cache.

    unfinished: Remove that of unfinished training, too. It stays otherwise, whatever params.yaml says now: an
    experiment, or going back to earlier parameters, goes on from it.
    """
    removed, size, held, left = 0, 0, 0, 0
    for path in sorted(root.rglob("lock")) if root.is_dir() else []:
        # Another `gc` may have removed it by now.
        with suppress(FileNotFoundError), path.open() as file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held += 1
                continue
            folder = path.parent
            files = [each for each in folder.rglob("*") if each.is_file()]
            has_progress = any(each != path for each in files)
            if has_progress and not unfinished and not State(folder).is_finished():
                left += 1
                continue
            size += sum(each.stat().st_size for each in files)
            shutil.rmtree(folder)
            removed += 1
    return Collected(removed, size, held, left)
