"""Rows of a split for a host and its device, neither of which has to wait for the other.

Legend: B rows of a batch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """A host's tensor on `device`; a GPU takes it when its turn comes, and the host goes on."""
    if device.type != "cuda":
        return tensor.to(device)
    # From memory that is not pinned the copy waits for all that the GPU has still to do.
    return tensor.pin_memory().to(device, non_blocking=True)


def groups(kinds_B: Tensor, device: torch.device) -> Iterator[tuple[int, Tensor]]:
    """Each kind that is there, and its rows on `device`, int64; in order. kinds_B: whole numbers, on the CPU."""
    kinds, counts = np.unique(kinds_B.numpy(), return_counts=True)
    rows_B = send(kinds_B.argsort(stable=True), device)
    yield from zip(kinds.tolist(), rows_B.split(counts.tolist()), strict=True)


@dataclass(frozen=True, eq=False)
class Rows:
    """The same rows twice, int64 (B,): as the host reads them, and as the device does."""

    host_B: np.ndarray
    device_B: Tensor

    @classmethod
    def on(cls, device: torch.device, rows_B: np.ndarray) -> Rows:
        """Rows that the host knows."""
        return cls(rows_B, torch.from_numpy(rows_B).to(device))

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """The rows of all parts, one after the other."""
        return cls(np.concatenate([each.host_B for each in parts]), torch.cat([each.device_B for each in parts]))

    def __len__(self) -> int:
        return len(self.host_B)

    def split(self, size: int) -> list[Rows]:
        """Parts of `size` rows, the last one shorter."""
        return self.parts([size] * math.ceil(len(self) / size))

    def parts(self, sizes: Sequence[int]) -> list[Rows]:
        """Parts of that many rows each, one after the other; the last one has what is left."""
        ends = list(itertools.accumulate(sizes))
        return [
            Rows(self.host_B[end - size : end], self.device_B[end - size : end])
            for size, end in zip(sizes, ends, strict=True)
        ]
