"""What a source of data hands over, and how arrays of one size become arrays of another.

Legend: N images, B rows asked for, C channels (1 or 3), H = W edge in pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipeline.data.framing import pixels


class Images(Protocol):
    """An array of images, in memory or made when asked for."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        ...

    def __getitem__(self, rows_B: np.ndarray, /) -> np.ndarray:
        """Images uint8 (B, C, H, W) of the rows int64 (B,)."""
        ...


@dataclass(frozen=True, eq=False)
class Decoded:
    """Images that are made when asked for, so that memory never holds all of them at once.

    `decode` takes a row and returns uint8 (C, H, W); threads call it, since Pillow decodes without the lock.
    """

    shape: tuple[int, int, int, int]
    decode: Callable[[int], np.ndarray]

    def __getitem__(self, rows_B: np.ndarray, /) -> np.ndarray:
        with ThreadPoolExecutor() as pool:
            return np.stack(list(pool.map(self.decode, rows_B.tolist())))


@dataclass(frozen=True, eq=False)
class Source:
    """One data set as it was found.

    labels: int64 (N,), positions in `classes`. test: images and labels of a test split of its own, else None.
    paths: of each image below the root, those of the test split last; None where images are no files.
    """

    images: Images
    labels: np.ndarray
    classes: tuple[str, ...]
    test: tuple[Images, np.ndarray] | None = None
    paths: tuple[str, ...] | None = None


def fitted(values: np.ndarray, size: int | None, grayscale: bool) -> Images:
    """Images of uint8 (N, H, W) or (N, H, W, 3), scaled to `size` where that is given, and grey where asked for."""
    # Pillow is needed where images are resized or made grey, not where prepared data are read.
    from PIL import Image

    count, edge, _, *colours = values.shape
    wanted = size or edge
    if wanted == edge and not (colours and grayscale):
        return values.transpose(0, 3, 1, 2) if colours else values[:, None]
    mode = "RGB" if colours and not grayscale else "L"
    return Decoded(
        (count, len(mode), wanted, wanted), lambda row: pixels(Image.fromarray(values[row]).convert(mode), wanted)
    )
