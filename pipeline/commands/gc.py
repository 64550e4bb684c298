"""Remove training state that nothing will go on with, and what was kept of images that are not the present ones."""

import fcntl
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.base.errors import UserError
from pipeline.base.locks import LOCK
from pipeline.base.paths import resolve
from pipeline.console import events
from pipeline.data import kept_images, kept_looks
from pipeline.data.kept_images import Kept
from pipeline.planning.specs.prepare import PrepareSpec
from pipeline.planning.specs.spec import read_spec
from pipeline.training.folders import contents, locked_folders, remove
from pipeline.training.state import State

Contents = Callable[[Path], list[Path] | None]


@dataclass
class Collected:
    """How many states were removed and their bytes; left: those that a process holds, and unfinished ones.

    shards, looks, events: files of encoded images, lists of what was found of images, and what stages that run no more
    told of themselves, that were removed; their bytes count, too. strange: folders with a `lock` that are no saved
    training, and what lies among encoded images or such lists, or hold more than that. They are left, too.
    """

    removed: int = 0
    bytes: int = 0
    held: int = 0
    unfinished: int = 0
    shards: int = 0
    looks: int = 0
    events: int = 0
    strange: list[Path] = field(default_factory=list)


def collect(
    root: Path, *, unfinished: bool = False, used: set[str] | None = None, looks: set[str] | None = None
) -> Collected:
    """Remove the state of finished training below `root`; no process holds it, and its result is in the DVC cache.

    Args:
        root: The folder of all training state.
        unfinished: Remove that of unfinished training, too, and all that was kept of images. It stays otherwise,
            whatever params.yaml says now: an experiment, or going back to earlier parameters, goes on from it.
        used: SHA-256 of the shards of the present store, the only ones that stay. None where there is no store: what
            is kept may be of one that is still to be finished.
        looks: Names of the lists of what was found of the present images, the only ones that stay; None as above.
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
    _collect_looks(root / kept_looks.FOLDER, unfinished, looks, done)
    for path in events.ended(root):
        done.bytes += path.stat().st_size
        path.unlink()
        done.events += 1
    return done


def looks_in_use(state: Path) -> set[str] | None:
    """Name of the list of what was found of the images that are planned; None where nothing is planned."""
    try:
        data = read_spec("prepare", PrepareSpec).data
    except UserError:
        return None
    return {kept_looks.looks_file(state, data["source"], resolve(data["root"])).name}


def _collect_looks(folder: Path, unfinished: bool, used: set[str] | None, done: Collected) -> None:
    for path in [] if folder.is_symlink() or not folder.is_dir() else sorted(folder.iterdir()):
        # Another `gc` may have removed it by now.
        with suppress(FileNotFoundError):
            if kept_looks.UNFINISHED.fullmatch(path.name):
                continue
            if not stat.S_ISREG(path.lstat().st_mode) or not kept_looks.NAMED.fullmatch(path.name):
                done.strange.append(path)
            elif not unfinished and used is None:
                done.unfinished += 1
            elif unfinished or path.name not in (used or ()):
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    done.bytes += os.fstat(descriptor).st_size
                    path.unlink()
                    done.looks += 1
                except BlockingIOError:
                    done.held += 1
                finally:
                    os.close(descriptor)
    with suppress(OSError):
        folder.rmdir()  # where nothing is left


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
