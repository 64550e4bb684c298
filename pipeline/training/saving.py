"""Saving beside the training: it copies what a step left and goes on; a thread hashes and writes the copy."""

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

import torch
from torch import Tensor

from pipeline.training.snapshot import Snapshot
from pipeline.training.state import State


class Saver:
    """Saves one training, one snapshot at a time.

    As a context it ends only when the thread has: whoever holds the state's lock must not let go of it before. What
    kept a snapshot from being written is raised in the training, at the next call.

    Args:
        state: Where snapshots go.
        device: Where the tensors lie.
        every: Seconds between two snapshots; at 0 each one is waited for.
    """

    def __init__(self, state: State, device: torch.device, every: float) -> None:
        self.state = state
        self.every = every
        self.snapshot = Snapshot(device)
        self._thread = ThreadPoolExecutor(1, "saving")
        self._writing: Future[None] | None = None
        self._saved = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown()

    def save(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Copy and return. A snapshot that is still being written is waited for: its memory is taken."""
        self.wait()
        self.snapshot.take(tensors, facts)
        self._writing = self._thread.submit(self._write)
        if not self.every:
            self.wait()
        self._saved = time.monotonic()

    def is_due(self) -> bool:
        """Whether it is time for the next snapshot, and `save` would not wait."""
        return self.is_free() and time.monotonic() - self._saved >= self.every

    def is_free(self) -> bool:
        """Whether `save` would not wait."""
        if self._writing is not None and self._writing.done():
            self.wait()
        return self._writing is None

    def wait(self) -> None:
        """Return when what was saved is on the disk."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(self) -> None:
        self.state.save(*self.snapshot.body())
