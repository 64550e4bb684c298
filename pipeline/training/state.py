"""Crash-safe training state: kill it anywhere, run again, and it goes on where it was.

It lies outside the stage's outs, which DVC deletes before a stage runs, in a folder beside the DVC
cache, so that the temporary workspaces of experiments find it too: `<node>/<key>/`. The key is what
decides the result; two processes with the same key take turns, and the second re-exports what the
first has trained. State of finished training stays until `python -m pipeline gc`, that of unfinished longer.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.base.errors import UserError
from pipeline.base.locks import held
from pipeline.dvc.training_state import VARIABLE, state_root

DIGEST = 32


class State:
    """The saved snapshots of one training, held by one process at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.current = folder / "state"
        self.previous = folder / "state.previous"
        self.finished = folder / "finished"  # an empty file, of work that saves no snapshots: it is done

    def save(self, *parts: bytes | memoryview) -> None:
        """Write a snapshot, given in parts, so that a power cut at any moment leaves this one or the last one.

        Most of it runs without Python's lock, so that a training beside goes on.
        """
        temporary = self.folder / "state.tmp"
        seal = hashlib.sha256()
        for part in parts:
            seal.update(part)
        try:
            with temporary.open("wb") as file:
                for part in (seal.digest(), *parts):
                    file.write(part)
                    file.flush()
                os.fsync(file.fileno())
            if self.current.exists():
                os.replace(self.current, self.previous)
            os.replace(temporary, self.current)
        except BaseException as error:
            if isinstance(error, OSError):
                error.filename = str(self.current)  # a failed write names no file
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def load(self, log: Callable[[str], None]) -> bytes | None:
        """The newest snapshot that is whole; None where there is none."""
        for path in (self.current, self.previous):
            if not path.exists():
                continue
            content = path.read_bytes()
            body = content[DIGEST:]
            if hashlib.sha256(body).digest() == content[:DIGEST]:
                return body
            log(f"{path} is damaged and not used")
        return None

    def progress(self) -> dict[str, Any] | None:
        """The facts of the newest snapshot, its tensors unread and unchecked; None where there is none."""
        try:
            with self.current.open("rb") as file:
                file.seek(DIGEST)
                length = file.read(8)
                claimed = int.from_bytes(length, "little")
                if claimed > os.fstat(file.fileno()).st_size:
                    return None
                found = facts(length + file.read(claimed))
                whole = type(found["position"]["epoch"]) is type(found["epochs"]) is int
                return found if whole else None
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return None

    def is_finished(self) -> bool:
        """Whether a snapshot says that the last epoch is done; one that cannot be read counts as none."""
        if self.finished.exists():
            return True
        progress = self.progress()
        return progress is not None and progress["position"]["epoch"] == progress["epochs"]


def facts(body: bytes) -> dict[str, Any]:
    """The JSON facts in a snapshot's metadata: it is a safetensors file, whose header is JSON after its length."""
    length = int.from_bytes(body[:8], "little")
    return json.loads(json.loads(body[8 : 8 + length])["__metadata__"]["facts"])


@contextmanager
def holding(node: str, key: str, log: Callable[[str], None]) -> Iterator[State]:
    """Hold the state of one training; wait while another process has it.

    Waiting, not failing: parallel experiments share their teacher that way, and the one that waited
    finds the finished result and re-exports it.
    """
    folder = state_root() / node / key

    def waiting(holder: str) -> None:
        log(f"{node} is being trained by process {holder}: waiting for its result")

    with ExitStack() as stack:
        try:
            stack.enter_context(held(folder, waiting))
        except OSError as error:
            raise UserError(
                f"{folder} cannot be written ({error.strerror}): make it writable or set {VARIABLE}"
            ) from None
        yield State(folder)
