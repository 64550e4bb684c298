"""From a device to the disk while the device goes on: a thread takes, checks, hashes and writes each part of labels."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

import torch
from torch import Tensor

from pipeline.labels.basis import Basis
from pipeline.labels.format import encode
from pipeline.labels.parts import Parts
from pipeline.labels.store import check_finite, stored

AHEAD = 3  # parts that may wait to be written: what they hold of the memory is bounded, and the device seldom waits


class Writer:
    """Writes parts in the order in which they come. As a context it ends when all are written.

    What kept a part from being written is raised at a later call, or at the end; none is written after it.

    Args:
        parts: Where to.
        teacher: The node whose logits they are.
        basis: Of low-rank labels.
    """

    def __init__(self, parts: Parts, teacher: str, basis: Basis | None = None) -> None:
        self.parts = parts
        self.teacher = teacher
        self.basis = basis
        self._thread = ThreadPoolExecutor(1, "labels")
        self._waiting: deque[Future[None]] = deque()
        self._failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        self._thread.shutdown()  # what was taken is written, whatever ended the labelling
        while self._waiting and kind is None:
            self._waiting.popleft().result()

    def write(self, logits_BC: Tensor) -> None:
        """Take the logits of the next part, float, from whatever device; it is not waited for."""
        encoded = encode(logits_BC, self.parts.format, self.basis)
        on_host = {name: _fetched(tensor) for name, tensor in encoded.items()}
        finite_B = _fetched(torch.isfinite(logits_BC).all(1))
        copied = None
        if logits_BC.is_cuda:
            copied = torch.cuda.Event(blocking=True)
            copied.record(torch.cuda.current_stream(logits_BC.device))
        self._waiting.append(self._thread.submit(self._write, on_host, finite_B, copied))
        while len(self._waiting) > AHEAD:
            self._waiting.popleft().result()

    def _write(self, on_host: dict[str, Tensor], finite_B: Tensor, copied: torch.cuda.Event | None) -> None:
        if self._failed:
            return
        try:
            if copied is not None:
                copied.synchronize()
            parts = self.parts
            first = sum(parts.sizes[: parts.done])
            check_finite(finite_B, len(parts.whole), self.teacher, range(first, first + len(finite_B)))
            parts.add(stored(on_host, parts.format, parts.classes))
        except BaseException:
            self._failed = True
            raise


def _fetched(tensor: Tensor) -> Tensor:
    """A tensor on the host; of a GPU it is there, in pinned memory, when the work asked for so far is done."""
    return tensor.to("cpu", non_blocking=tensor.is_cuda)
