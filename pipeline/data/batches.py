"""Which rows make a batch, and where their pixels come from."""

import math

import numpy as np
import torch
from torch import Tensor

from pipeline.data.generator import generator
from pipeline.data.rows import Rows, send


def order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the permutation of `count` rows for that epoch, int64 (N,)."""
    return generator(seed, "order", epoch).permutation(count)


def batches(order_N: np.ndarray, size: int) -> list[np.ndarray]:
    """Split an order into batches of `size` rows, the last one shorter.

    A last batch of a single row is left out (BatchNorm needs two to train), unless all batches are.
    """
    found = [order_N[start : start + size] for start in range(0, len(order_N), size)]
    return found[:-1] if len(found) > 1 and size > 1 == len(found[-1]) else found


class Pixels:
    """A split's images for one device: `pixels[rows]` is uint8 (B, C, H, W) there.

    images: uint8 (N, C, H, W), often a memory map. budget: bytes; images that fit are copied to the device
    whole, larger ones are read batch by batch.
    """

    def __init__(self, images: np.ndarray, device: torch.device, budget: int) -> None:
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
        if self._resident is not None:
            return self._resident[rows.device_B]
        return send(torch.from_numpy(np.asarray(self._images[rows.host_B])), self._device)
