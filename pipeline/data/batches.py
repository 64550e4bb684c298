"""Which rows make a batch, and where their pixels come from."""

import math
from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np
import torch
from torch import Tensor

from pipeline.data.ahead import in_order
from pipeline.data.encoded import EncodedImages
from pipeline.data.generator import generator
from pipeline.data.rows import Rows, send


def order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the permutation of `count` rows for that epoch, int64 (N,)."""
    return generator(seed, "order", epoch).permutation(count)


def batches(order_N: np.ndarray, size: int) -> list[np.ndarray]:
    """Split an order into ceil(N / size) batches that differ by one row at most, the larger ones first.

    A rest of a few rows as a batch of its own would take a step as long as those of whole batches, on the gradient and
    the BatchNorm statistics of these few.
    """
    return np.array_split(order_N, math.ceil(len(order_N) / size)) if len(order_N) else []


def beside(device: torch.device) -> int:
    """Threads that make ready what a device takes next: none beside a CPU, whose cores compute already.

    Else two: while the last pictures of one batch are decoded, the other cores decode the next batch.
    """
    return 0 if device.type == "cpu" else 2


class Pixels:
    """A split's images for one device: `pixels[rows]` is uint8 (B, C, H, W) there.

    images: uint8 (N, C, H, W), a memory map, or encoded. budget: bytes; images that fit are read or decoded once and
    copied to the device whole, larger ones are read or decoded batch by batch.
    """

    def __init__(self, images: np.ndarray | EncodedImages, device: torch.device, budget: int) -> None:
        self._images = images
        self._device = device
        self._resident: Tensor | None = None
        if images.nbytes <= budget:
            self._resident = torch.from_numpy(np.array(images)).to(device)

    def __len__(self) -> int:
        return len(self._images)

    @property
    def values(self) -> int:
        """Numbers in one image, C * H * W."""
        return math.prod(self._images.shape[1:])

    def __getitem__(self, rows: Rows) -> Tensor:
        return self.of(self.read(rows.host_B), rows)

    @property
    def are_resident(self) -> bool:
        """Whether all of them lie on the device."""
        return self._resident is not None

    def read(self, rows_B: np.ndarray) -> np.ndarray | None:
        """What the host has to do for some rows: uint8 (B, C, H, W); None of resident images. A thread may do it."""
        return None if self.are_resident else np.asarray(self._images[rows_B])

    def of(self, read_BCHW: np.ndarray | None, rows: Rows) -> Tensor:
        """The images of some rows, of what `read` gave for them."""
        if self._resident is not None:
            return self._resident[rows.device_B]
        assert read_BCHW is not None
        return send(torch.from_numpy(read_BCHW), self._device)

    def each(self, batches: Sequence[Rows]) -> Iterator[Tensor]:
        """The images of each batch, read while the device still computes on those before."""
        threads = 0 if self.are_resident else beside(self._device)
        with closing(in_order(self.read, (rows.host_B for rows in batches), threads)) as found:
            for rows, read_BCHW in zip(batches, found, strict=True):
                yield self.of(read_BCHW, rows)
