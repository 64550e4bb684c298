"""How a picture becomes a square of a given size: a crop at whole pixels, then one resize.

So it can be repeated anywhere, in a graph that ships, too: a crop between pixels, as Pillow's `ImageOps.fit` has it,
lets pixels from outside the box in, and no other runtime has the same.

Legend: C channels (1 or 3), H, W height and width in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

    from pipeline.config.input import Framing


def box(width: int, height: int, framing: Framing = "crop", margin: float = 0.0) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the part that becomes the square, as of `config.input.Input`.

    It lies in the middle, or half a pixel to the left or top of it. That of a picture that is padded is larger than it.
    """
    edges = (width, height) if framing == "squash" else ((min if framing == "crop" else max)(width, height),) * 2
    across, down = (max(1, round(edge * (1 - margin))) for edge in edges)
    left, top = (width - across) // 2, (height - down) // 2
    return left, top, left + across, top + down


def framed(picture: Image.Image, size: int | None, framing: Framing = "crop", margin: float = 0.0) -> Image.Image:
    """The central square, or what else `framing` and `margin` ask for, resized to `size` x `size`.

    size: None keeps the picture as it is. A picture that is padded has the mode L or RGB, of which 0 is black.

    The filter is bilinear and antialiased: a triangle over the pixels that each new one covers, and two pixels wide
    where nothing shrinks. It differs by one grey level at most from the same filter in exact arithmetic, since the rows
    are rounded before the columns are made. What is transparent weighs by how much of it shows.
    """
    from PIL import Image

    if size is None:
        return picture
    return picture.crop(box(*picture.size, framing, margin)).resize((size, size), Image.Resampling.BILINEAR)


def pixels(picture: Image.Image, size: int | None, framing: Framing = "crop", margin: float = 0.0) -> np.ndarray:
    """The framed picture, of Pillow's mode L or RGB, as uint8 (C, H, W)."""
    values = np.asarray(framed(picture, size, framing, margin))
    return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)


def cut(picture: Image.Image, box: Sequence[int], size: int) -> Image.Image:
    """One crop of a view by Pillow itself: what `data.resample` does to a batch. Outside a picture is black.

    box: upper, left, height, width in whole pixels.
    """
    from PIL import Image

    y, x, h, w = box
    crop = picture.crop((x, y, x + w, y + h))
    for edges in ((size, h), (size, size)):  # in one call, which direction comes first hangs on Pillow's version
        crop = crop.resize(edges, Image.Resampling.BILINEAR)
    return crop
