"""Image files of anybody: a closed list of formats, told by content, and a bound on what is decoded at a time.

Left to itself Pillow tries every decoder that it has, whatever a file is called, and some start another program: an EPS
named x.png is handed to Ghostscript.

Legend: C channels (1 or 3), H, W height and width in pixels.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition
from typing import TYPE_CHECKING

import numpy as np

from pipeline.data.formats import FORMATS
from pipeline.data.images import pixels, straight

if TYPE_CHECKING:
    from PIL import Image

LARGEST = 178_956_970  # pixels of a picture, half a gigabyte of colours; where Pillow draws the line, too
TILE = (322, 323)  # TIFF's tags of the width and height of a tile, which may be larger than the picture


Content = Path | bytes  # a file, or what it holds
Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)


class NotDecoded(Exception):
    """Why a file gives no picture, in a few words that name no file."""


class PixelBudget:
    """So much of something for all threads together: who asks for more than is left waits until others give back."""

    def __init__(self, whole: int) -> None:
        self._left = whole
        self._given_back = Condition()

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Hold `amount`, at most the whole, until the end of the block."""
        with self._given_back:
            self._given_back.wait_for(lambda: amount <= self._left)
            self._left -= amount
        try:
            yield
        finally:
            with self._given_back:
                self._left += amount
                self._given_back.notify_all()


# In pixels, over all threads of this process: as many as one picture may have.
BUDGET = PixelBudget(LARGEST)


def decode(content: Content, *, mode: str, size: int | None, background: Colour = WHITE) -> np.ndarray:
    """The picture in a file, uint8 (C, H, W); `mode`, `size` and `background` as of `pixels`.

    Raises:
        NotDecoded: It is no whole picture of one of `FORMATS`, or has more than `LARGEST` pixels.
        MemoryError: The memory is not enough, whatever the file is.
    """
    try:
        with opened(content) as picture:
            return pixels(picture, mode=mode, size=size, background=background)
    except (NotDecoded, MemoryError):
        raise
    except Exception as error:  # decoders raise whatever the damage led them to, struct.error for one
        raise NotDecoded(str(error) or type(error).__name__) from None


@contextmanager
def opened(content: Content) -> Iterator[Image.Image]:
    """A picture whose pixels are not decoded yet, and count against `BUDGET` until the end of the block.

    Raises:
        NotDecoded: It is of another format, or too large.
    """
    # Pillow is needed where pictures are decoded, not where files are listed.
    from PIL import Image, UnidentifiedImageError

    # Ours is the check: Pillow's names no width and height, and prints a warning of Python's from half of it on.
    Image.MAX_IMAGE_PIXELS = None
    try:
        picture = Image.open(io.BytesIO(content) if isinstance(content, bytes) else content, formats=tuple(FORMATS))
    except UnidentifiedImageError:
        raise NotDecoded(f"its content is none of {', '.join(FORMATS)}") from None
    with picture:
        tags = getattr(picture, "tag_v2", {})
        for what, (width, height) in (("it", picture.size), ("a tile", [tags.get(tag, 0) for tag in TILE])):
            if width * height > LARGEST:
                raise NotDecoded(f"{what} has {width}x{height} pixels, and {LARGEST:,} are the most that are decoded")
        with BUDGET.hold(picture.width * picture.height):
            try:
                yield picture
            finally:
                picture.close()  # its pixels, too, are gone before others may have theirs


def upright(picture: Image.Image, *, mode: str, background: Colour = WHITE, shortest: int | None = None) -> Image.Image:
    """A picture as it is to be seen, in `mode` "L" or "RGB".

    shortest: decoded at reduced scale where the format offers it, with a short side of this at least.
    """
    if shortest is not None and min(picture.size) > shortest:
        scale = min(picture.size) // shortest
        picture.draft(None, (picture.width // scale, picture.height // scale))
    return straight(picture, mode, background)
