"""What a source of data hands over, and how a picture becomes an array.

Legend: N images, B rows asked for, C channels (1 or 3), H = W edge in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from PIL import Image
    from typing_extensions import TypeIs


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


class Files(Protocol):
    """Images as the files that somebody has."""

    @property
    def names(self) -> Sequence[str]:
        """Of each, below `data.root`."""
        ...

    def read(self, row: int) -> bytes:
        """A whole file; threads call it."""
        ...


def is_files(images: Images | Files) -> TypeIs[Files]:
    """Whether a source hands over files, and no array."""
    return hasattr(images, "read")


@dataclass(frozen=True, eq=False)
class Source:
    """One data set as it was found.

    labels: int64 (N,), positions in `classes`. test: images and labels of a test split of its own, else None.
    paths: of each image below the root, those of the test split last; None where images are no files.
    """

    images: Images | Files
    labels: np.ndarray
    classes: tuple[str, ...]
    test: tuple[Images | Files, np.ndarray] | None = None
    paths: tuple[str, ...] | None = None


def fitted(values: np.ndarray, size: int | None, grayscale: bool) -> Images:
    """Images of uint8 (N, H, W) or (N, H, W, 3), scaled to `size` where that is given, and grey where asked for."""
    from PIL import Image

    count, edge, _, *colours = values.shape
    wanted = size or edge
    if wanted == edge and not (colours and grayscale):
        return values.transpose(0, 3, 1, 2) if colours else values[:, None]
    mode = "RGB" if colours and not grayscale else "L"
    return Decoded(
        (count, len(mode), wanted, wanted), lambda row: pixels(Image.fromarray(values[row]), mode=mode, size=wanted)
    )


def pixels(picture: Image.Image, *, mode: str, size: int | None) -> np.ndarray:
    """Turn a Pillow image of any mode into uint8 (C, H, W).

    mode: "L" (C=1) or "RGB" (C=3). size: edge of the square result; the central square is scaled to it
    (bilinear over the pixels that each new one covers); None keeps width and height. The camera's
    orientation tag is obeyed, transparency becomes black as padding is, and 16-bit greys lose their low byte.
    """
    # Pillow is needed where pictures are decoded or resized, not where prepared data are read.
    from PIL import Image, ImageOps

    picture = straight(picture, mode)
    if size is not None:
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR)
    values = np.asarray(picture)
    return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)


def straight(picture: Image.Image, mode: str) -> Image.Image:
    """A picture of any mode as `mode`, as the camera's orientation tag has it."""
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):  # Pillow would clip 16-bit greys to 255 instead of scaling them
        picture = Image.fromarray((np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
    return picture.convert(mode)
