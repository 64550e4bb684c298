"""Images inside the page.

Legend: C channels, H = W edge in pixels.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

from pipeline.data.encoded import EncodedImages

if TYPE_CHECKING:
    from PIL import Image

INFERNO = (
    (0, 0, 4),
    (40, 11, 84),
    (101, 21, 110),
    (159, 42, 99),
    (212, 72, 66),
    (245, 125, 21),
    (250, 193, 39),
    (252, 255, 164),
)
LARGEST = 192  # pixels of an edge: larger images are shown no larger, and the page stays light
HEAT_EDGE = 48  # pixels of a heat map: enough to look smooth


def data_uri(x_CHW: np.ndarray) -> str:
    """A uint8 image of one or three channels (of another number: the first) as a PNG in a data URI."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(x_CHW.transpose(1, 2, 0) if len(x_CHW) == 3 else x_CHW[0]))
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.BILINEAR)
    return _encoded(image)


def photo_uri(images: np.ndarray | EncodedImages, row: int) -> str:
    """An image as people see it: of a stored photograph all of it, small, in a data URI; else its pixels."""
    if not isinstance(images, EncodedImages):
        return data_uri(np.asarray(images[row]))

    def small(picture: Image.Image) -> Image.Image:
        copy = picture.copy()
        copy.thumbnail((LARGEST, LARGEST))
        return copy

    return _encoded(images.shown(row, small), "JPEG", quality=80)


def heat_uri(q_HW: np.ndarray) -> str:
    """A map of values 0 .. 1 as a smooth picture in the colours of heat."""
    from PIL import Image

    grey = Image.fromarray((q_HW * 255).round().astype(np.uint8))
    smooth = np.asarray(grey.resize((HEAT_EDGE, HEAT_EDGE), Image.Resampling.BICUBIC)) / 255
    stops = np.linspace(0, 1, len(INFERNO))
    rgb = np.stack([np.interp(smooth, stops, [colour[c] for colour in INFERNO]) for c in range(3)], axis=-1)
    return _encoded(Image.fromarray(rgb.round().astype(np.uint8)))


def _encoded(image: Image.Image, form: str = "PNG", **settings: int) -> str:
    content = io.BytesIO()
    image.save(content, form, optimize=True, **settings)
    return f"data:image/{form.lower()};base64,{base64.b64encode(content.getvalue()).decode()}"
