"""Any picture as 8-bit grey or sRGB: profiles, CMYK, palettes, deep greys and transparency.

Where a picture has no colour profile, or one that is damaged or of other colours than its own, its values are taken
for sRGB, as browsers do.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image, ImageCms

Colour = tuple[int, int, int]  # red, green and blue, 0 .. 255

WHITE: Colour = (255, 255, 255)
DEPTHS = (8, 10, 12, 14, 16, 32)  # bits a grey, as cameras, scanners and microscopes have them
PROFILES = 32  # that are kept ready; it takes some milliseconds to become so
SAME = 1  # grey levels by which a profile may differ from sRGB to be taken for it
COLOURS = ("L", "RGB", "CMYK", "LAB")  # modes that a profile may be of
CLEAR = {"LA": "L", "RGBA": "RGB"}  # modes with transparency, and without


def plain(picture: Image.Image) -> Image.Image:
    """The same picture in a mode whose values can be averaged: one of `COLOURS`; LA or RGBA where it is transparent."""
    if picture.mode.startswith(("I", "F")):
        return scaled(picture)
    if picture.has_transparency_data:
        return _converted(picture, "LA" if picture.mode == "LA" else "RGBA")
    if picture.mode in COLOURS:
        return picture
    return picture.convert("L" if picture.mode == "1" else "RGB")


def flat(picture: Image.Image, *, mode: str, background: Colour = WHITE, profile: bytes | None = None) -> Image.Image:
    """A plain picture in `mode`, "L" or "RGB", of sRGB, on `background` where it is transparent.

    profile: ICC, of its colours.
    """
    # Pillow is needed where pictures are decoded, not where files are listed.
    from PIL import Image

    alpha = picture.getchannel("A") if picture.mode in CLEAR else None
    picture = _converted(picture, CLEAR.get(picture.mode, picture.mode))
    if transform := _transform(profile, picture.mode):
        picture = transform.apply(picture)
    if alpha:
        picture = Image.composite(_converted(picture, "RGB"), Image.new("RGB", picture.size, background), alpha)
    return _converted(picture, mode)


def scaled(picture: Image.Image) -> Image.Image:
    """Greys of 16 or 32 bits, or floats, as 8 bits ("L").

    White is the largest value of the fewest bits of `DEPTHS` that hold the lightest pixel: a 12-bit picture in a file
    of 16 bits is not black. Of floats white is 1, or the lightest pixel where that is more.
    """
    from PIL import Image

    values = np.asarray(picture)
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=0, posinf=0, neginf=0)
        white = max(1.0, float(values.max()))
    else:
        lightest = int(values.max())
        white = next(float(2**bits - 1) for bits in DEPTHS if lightest < 2**bits)
    return Image.fromarray(np.rint(values.clip(0, None) * (255 / white)).astype(np.uint8))


def _converted(picture: Image.Image, mode: str) -> Image.Image:
    """In another mode; Pillow's `convert` to the same one copies every pixel."""
    return picture if picture.mode == mode else picture.convert(mode)


@lru_cache(maxsize=PROFILES)
def _transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """What turns a plain mode into sRGB by the profile of a file; None where nothing is to be turned."""
    from PIL import ImageCms

    if not profile and mode != "LAB":
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    return None if _is_srgb(transform, mode) else transform


def _is_srgb(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether it leaves colours as they are: most profiles are sRGB by one of a dozen makers."""
    from PIL import Image

    if mode not in ("L", "RGB"):
        return False
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    colours = np.stack(np.meshgrid(*[levels] * len(mode)), axis=-1).reshape(len(levels), -1, len(mode))
    before = Image.fromarray(colours.squeeze(-1) if mode == "L" else colours)
    after = np.asarray(transform.apply(before), np.int16)
    return bool(abs(after - np.asarray(before.convert("RGB"), np.int16)).max() <= SAME)
