"""A folder that one process holds at a time; the others wait."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = "lock"
AGAIN = 60.0  # seconds between two calls of `waiting`


@contextmanager
def held(folder: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold `folder`, which is made where it is missing, by a lock on the file `lock` in it.

    Args:
        folder: What is held. Who removes it holds it, and removes the lock last.
        waiting: Called with the number of the process that holds it, at once and then each minute.

    Raises:
        OSError: It cannot be written.
    """
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / LOCK).open("a+")
        except FileNotFoundError:
            continue  # it was removed in between
        _wait(lock.fileno(), folder / LOCK, waiting)
        if _is_at(lock.fileno(), folder / LOCK):
            break
        lock.close()  # it was removed while we waited: this lock would hold nothing
    with lock:
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Hold `folder` as `held` does, where no other process does; yield whether none did. Remove it to let it go."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("a+")
    except FileNotFoundError:  # whoever held it removes it just now
        yield False
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield _is_at(lock.fileno(), folder / LOCK)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file still lies at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _wait(descriptor: int, path: Path, waiting: Callable[[str], None]) -> None:
    said = float("-inf")
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() - said >= AGAIN:
                waiting(path.read_text() or "another process")
                said = time.monotonic()
            time.sleep(0.2)
        else:
            return
