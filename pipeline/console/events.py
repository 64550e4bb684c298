"""What runs, as it runs: each stage that works writes lines of JSON beside the saved training, for who looks on.

A file a node and workspace, below the folder of all training state, so that those of queued experiments lie there, too.
Its writer holds it: who can lock it knows that nothing runs. It decides no result, and a stage runs without it where it
cannot be written.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.base.errors import UserError
from pipeline.dvc.training_state import state_root

FOLDER = "events"
NAMED = re.compile(r"[A-Za-z0-9_.-]+\.[0-9a-f]{12}\.jsonl")
APART = 1.0  # seconds between two lines of one kind, at least, but for those that must not be missed
TRIES = 5
LARGEST = 4 << 20  # bytes: what is longer begins anew

Tell = Callable[..., None]
Event = dict[str, Any]


@contextmanager
def telling(node: str, doing: str, **settled: Any) -> Iterator[Tell]:
    """Yield a function that writes what it is given by name as a line; often called, it leaves lines out.

    Args:
        node: As in `python -m pipeline status`; `prepare` for the images.
        doing: `training`, `labels` or `images`.
        settled: What stays so: it stands in the first line.
    """
    descriptor = _opened(node)
    if descriptor is None:
        yield lambda **known: None
        return
    told = float("-inf")

    def tell(*, always: bool = False, **known: Any) -> None:
        nonlocal told
        now = time.monotonic()
        if not always and now - told < APART:
            return
        told = now
        # A full disk, say: the stage's own files are what counts.
        with suppress(OSError):
            os.write(descriptor, (json.dumps({"time": time.time(), **known}) + "\n").encode())

    try:
        # A line break first: the last line may be torn.
        with suppress(OSError):
            os.write(descriptor, b"\n")
        where = {"workspace": str(Path.cwd()), "experiment": os.environ.get("DVC_EXP_NAME"), "pid": os.getpid()}
        tell(always=True, node=node, doing=doing, **where, **settled)
        yield tell
    finally:
        os.close(descriptor)


def _opened(node: str) -> int | None:
    """The node's file, held; None where there is no place for it, or another process has it."""
    import fcntl  # which Windows lacks: it is told so by a sentence, which needs this module's users

    try:
        folder = state_root() / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        here = hashlib.sha256(os.fsencode(Path.cwd())).hexdigest()[:12]
        path = folder / f"{node.replace('/', '.')}.{here}.jsonl"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except (OSError, UserError):
        return None
    for _ in range(TRIES):
        with suppress(OSError):  # who looks whether it is held holds it for a moment
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_size > LARGEST:
                os.ftruncate(descriptor, 0)
            return descriptor
        time.sleep(0.02)
    os.close(descriptor)
    return None


@dataclass(frozen=True)
class Activity:
    """What a process that runs has told.

    Attributes:
        first: Its first line: `node`, `doing`, `workspace`, `experiment`, `pid`, `time`, and what else is settled.
        lines: Those since, each with its `time`, in order.
        before: Of earlier processes that did the same: the same `key` stands in their first lines.
    """

    first: Event
    lines: list[Event]
    before: list[Event]

    def last(self, name: str) -> Any:
        """The newest value of that name; None where it was not told."""
        return next((line[name] for line in reversed(self.lines) if line.get(name) is not None), None)


def running(root: Path) -> list[Activity]:
    """All that runs and tells, by node and workspace.

    Args:
        root: The folder of all training state.
    """
    return [each for path, is_held in _files(root) if is_held and (each := _newest(path.read_bytes()))]


def ended(root: Path) -> list[Path]:
    """The files of stages that run no more."""
    return [path for path, is_held in _files(root) if not is_held]


def _files(root: Path) -> Iterator[tuple[Path, bool]]:
    """Each of our files, and whether a process writes it."""
    import fcntl

    folder = root / FOLDER
    for path in [] if folder.is_symlink() or not folder.is_dir() else sorted(folder.iterdir()):
        if not NAMED.fullmatch(path.name) or path.is_symlink() or not path.is_file():
            continue
        with path.open("rb") as file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                yield path, True
            else:
                fcntl.flock(file.fileno(), fcntl.LOCK_UN)
                yield path, False


def _newest(content: bytes) -> Activity | None:
    parts: list[list[Event]] = []
    for text in content.splitlines():
        try:
            line = json.loads(text)
        except ValueError:  # a torn one, or the break between two processes
            continue
        if not isinstance(line, dict) or "time" not in line:
            continue
        if "doing" in line:
            parts.append([])
        if parts:
            parts[-1].append(line)
    if not parts:
        return None
    *earlier, (first, *lines) = parts
    key = first.get("key")
    before = [line for begun, *rest in earlier if key is not None and begun.get("key") == key for line in rest]
    return Activity(first, lines, before)
