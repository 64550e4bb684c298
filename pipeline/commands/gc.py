"""Remove training state that nothing will go on with."""

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.locks import LOCK
from pipeline.training.folders import contents, locked_folders, remove
from pipeline.training.state import State


@dataclass(frozen=True)
class Collected:
    """How many states were removed and their bytes; left: those that a process holds, and unfinished ones.

    strange: folders with a `lock` that are no saved training, or hold more than that. They are left, too.
    """

    removed: int
    bytes: int
    held: int
    unfinished: int
    strange: tuple[Path, ...] = ()


def collect(root: Path, *, unfinished: bool = False) -> Collected:
    """Remove the state of finished training below `root`; no process holds it, and its result is in the DVC cache.

    unfinished: Remove that of unfinished training, too. It stays otherwise, whatever params.yaml says now: an
    experiment, or going back to earlier parameters, goes on from it.
    """
    removed, size, held, left = 0, 0, 0, 0
    strange: list[Path] = []
    for folder in locked_folders(root):
        # Another `gc` may have removed it by now.
        with suppress(FileNotFoundError):
            if contents(folder, root) is None:
                strange.append(folder)
                continue
            descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                found = contents(folder, root)  # once more: nobody of ours writes there now
                if found is None:
                    strange.append(folder)
                    continue
                has_progress = any(path.name != LOCK for path in found)
                if has_progress and not unfinished and not State(folder).is_finished():
                    left += 1
                    continue
                size += sum(path.stat().st_size for path in found)
                remove(folder, found)
                removed += 1
            except BlockingIOError:
                held += 1
            finally:
                os.close(descriptor)
    return Collected(removed, size, held, left, tuple(strange))
