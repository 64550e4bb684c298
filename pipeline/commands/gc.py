"""Remove training state that nothing will go on with, and encoded images that the present store does not use."""

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.base.locks import LOCK
from pipeline.data import kept_images
from pipeline.data.kept_images import Kept
from pipeline.training.folders import contents, locked_folders, remove
from pipeline.training.state import State

Contents = Callable[[Path], list[Path] | None]


@dataclass
class Collected:
    """How many states were removed and their bytes; left: those that a process holds, and unfinished ones.

    shards: files of encoded images that were removed; their bytes count, too. strange: folders with a `lock` that are
    no saved training, and what lies among encoded images, or hold more than that. They are left, too.
    """

    removed: int = 0
    bytes: int = 0
    held: int = 0
    unfinished: int = 0
    shards: int = 0
    strange: list[Path] = field(default_factory=list)


def collect(root: Path, *, unfinished: bool = False, used: set[str] | None = None) -> Collected:
    """Remove the state of finished training below `root`; no process holds it, and its result is in the DVC cache.

    Args:
        root: The folder of all training state.
        unfinished: Remove that of unfinished training, too, and all encoded images. It stays otherwise, whatever
            params.yaml says now: an experiment, or going back to earlier parameters, goes on from it.
        used: SHA-256 of the shards of the present store, the only ones that stay. None where there is no store: what
            is kept may be of one that is still to be finished.
    """
    done = Collected()

    def state(folder: Path, found: list[Path]) -> None:
        has_progress = any(path.name != LOCK for path in found)
        if has_progress and not unfinished and not State(folder).is_finished():
            done.unfinished += 1
            return
        done.bytes += sum(path.stat().st_size for path in found)
        remove(folder, found)
        done.removed += 1

    def images(folder: Path, found: list[Path]) -> None:
        if used is None and not unfinished:
            done.unfinished += len(found) > 1
            return
        keep = set() if unfinished or used is None else used
        shards = [path for path in found if path.name != LOCK]
        unused = [path for path in shards if not ((kept := Kept.named(path)) and kept.sha256 in keep)]
        done.bytes += sum(path.stat().st_size for path in unused)
        done.shards += len(unused)
        remove(folder, found if unused == shards else unused)

    for folder in locked_folders(root):
        if folder.relative_to(root).parts[:1] != (kept_images.FOLDER,):
            _holding(folder, lambda folder: contents(folder, root), state, done)
    kept = root / kept_images.FOLDER
    for folder in [] if kept.is_symlink() or not kept.is_dir() else sorted(kept.iterdir()):
        _holding(folder, kept_images.contents, images, done)
    return done


def _holding(folder: Path, contents: Contents, act: Callable[[Path, list[Path]], None], done: Collected) -> None:
    """Hold a folder of ours and act on all its files; count it where that is not to be had."""
    # Another `gc` may have removed it by now.
    with suppress(FileNotFoundError):
        if contents(folder) is None:
            done.strange.append(folder)
            return
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = contents(folder)  # once more: nobody of ours writes there now
            if found is None:
                done.strange.append(folder)
            else:
                act(folder, found)
        except BlockingIOError:
            done.held += 1
        finally:
            os.close(descriptor)
