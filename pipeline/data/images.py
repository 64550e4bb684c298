"""What a source of data hands over, and how arrays of one size become arrays of another.

Legend: N images, B rows asked for, C channels (1 or 3), H = W edge in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from pipeline.data.decode import NotDecoded
from pipeline.data.framing import pixels
from pipeline.data.names import SplitName


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
class ArrayImages:
    """Images of an array uint8 (N, H, W) or (N, H, W, 3), scaled and made grey when asked for."""

    values: np.ndarray
    shape: tuple[int, int, int, int]

    def __getitem__(self, rows_B: np.ndarray, /) -> np.ndarray:
        # Pillow is needed where images are resized or made grey, not where prepared data are read.
        from PIL import Image

        _, channels, size, _ = self.shape
        found = self.values[rows_B]
        if found.shape[1:] == (size, size, channels):
            return found.transpose(0, 3, 1, 2)
        if found.shape[1:] == (size, size):
            return found[:, None]
        mode = "RGB" if channels == 3 else "L"
        return np.stack([pixels(Image.fromarray(each).convert(mode), size) for each in found])

    def content(self, row: int) -> bytes:
        """The bytes of an image as the array has it, whatever size is asked for: what its split hangs on."""
        return self.values[row].tobytes()


@runtime_checkable
class Files(Protocol):
    """Image files, none of which is decoded yet: of a folder, of an archive, of a table."""

    @property
    def names(self) -> Sequence[str]:
        """Of each file, below `data.root`; of what lies in an archive or a table, that file's name, then its own."""
        ...

    def read(self, row: int) -> bytes:
        """A whole file; threads call it. Raises `OSError` or `NotDecoded` for one that cannot be read."""
        ...

    def stamp(self, row: int) -> tuple[int, int]:
        """Size in bytes and mtime in ns of what holds it: where both are as they were, the file is, too."""
        ...


@dataclass(frozen=True, eq=False)
class Source:
    """One data set as it was found.

    labels: int64 (N,), positions in `classes`. splits: of each row, where the source itself is divided, else None.
    groups: of each row, what must not be divided, or None; None where no row has one. left_out: sentences on what the
    source has and does not give. weights: how often each row is to be drawn, float64 (N,), 0 or more; None where all
    are drawn alike.
    """

    images: Images | Files
    labels: np.ndarray
    classes: tuple[str, ...]
    splits: Sequence[SplitName] | None = None
    groups: Sequence[str | None] | None = None
    left_out: Sequence[str] = ()
    weights: np.ndarray | None = None


def content_of(files: Files, row: int) -> bytes:
    """A whole file; `NotDecoded` where it cannot be read."""
    try:
        return files.read(row)
    except OSError as error:
        raise NotDecoded(error.strerror or str(error)) from None


def names_of(images: Images | Files) -> Sequence[str] | None:
    """The names of image files; None where images are no files."""
    return images.names if isinstance(images, Files) else None


def fitted(values: np.ndarray, size: int | None, grayscale: bool) -> Images:
    """Images of uint8 (N, H, W) or (N, H, W, 3), scaled to `size` where that is given, and grey where asked for."""
    count, edge, _, *colours = values.shape
    wanted = size or edge
    return ArrayImages(values, (count, 3 if colours and not grayscale else 1, wanted, wanted))
