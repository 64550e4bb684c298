"""How a picture becomes a square of a given size: a crop at whole pixels, then one resize.

So it can be repeated anywhere, in a graph that ships, too: a crop between pixels, as Pillow's `ImageOps.fit` has it,
lets pixels from outside the box in, and no other runtime has the same.

Legend: C channels (1 or 3), H, W height and width in pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image


def box(width: int, height: int) -> tuple[int, int, int]:
    """Left, top and edge of the central square; where it cannot be central, it is half a pixel to the left or top."""
    edge = min(width, height)
    return (width - edge) // 2, (height - edge) // 2, edge


def framed(picture: Image.Image, size: int | None) -> Image.Image:
    """The central square, resized to `size` x `size`; None keeps the picture as it is.

    The filter is bilinear and antialiased: a triangle over the pixels that each new one covers, and two pixels wide
    where nothing shrinks. It differs by one grey level at most from the same filter in exact arithmetic, since the rows
    are rounded before the columns are made. What is transparent weighs by how much of it shows.
    """
    from PIL import Image

    if size is None:
        return picture
    left, top, edge = box(*picture.size)
    return picture.crop((left, top, left + edge, top + edge)).resize((size, size), Image.Resampling.BILINEAR)


def pixels(picture: Image.Image, size: int | None) -> np.ndarray:
    """The framed picture, of Pillow's mode L or RGB, as uint8 (C, H, W)."""
    values = np.asarray(framed(picture, size))
    return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
