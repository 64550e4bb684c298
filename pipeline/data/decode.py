"""Image files of anybody: a closed list of formats, told by content, and a bound on what is decoded at a time.

Left to itself Pillow tries every decoder that it has, whatever a file is called, and some start another program: an EPS
named x.png is handed to Ghostscript.

Legend: C channels (1 or 3), H, W height and width in pixels.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from threading import Condition
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from pipeline.data.colours import WHITE, Colour, flat, plain
from pipeline.data.formats import FORMATS, HEAD, is_heif
from pipeline.data.framing import framed, pixels

if TYPE_CHECKING:
    from PIL import Image

    from pipeline.config.input import Framing

Content = Path | bytes  # a file by its name, or all that stands in it
Seen = TypeVar("Seen")

LARGEST = 178_956_970  # pixels of a picture, half a gigabyte of colours; where Pillow draws the line, too
TILE = (322, 323)  # TIFF's tags of the width and height of a tile, which may be larger than the picture
REDUCED = ("JPEG", "MPO")  # formats that are decoded at a half, a quarter or an eighth of their size where that will do
GAP = 2  # times the short side asked for, at least, that is decoded: nearer, the resize has little to average
# What decoders print of a file's tags as warnings of Python's says nothing of its pixels.
QUIET = ("ignore", None, UserWarning, re.compile(r"(PIL|pillow_heif)\."), 0)
EXTRA = "heic"  # of pip: what reads HEIF


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


def enough(size: int, margin: float = 0.0) -> int:
    """The short side in pixels from which a picture is resized to `size`, less a margin of its edges."""
    return math.ceil(GAP * size / (1 - margin))


def decode(
    content: Content,
    *,
    mode: str,
    size: int | None,
    background: Colour = WHITE,
    framing: Framing = "crop",
    margin: float = 0.0,
) -> np.ndarray:
    """The picture in a file, uint8 (C, H, W), made square and resized as of `pipeline.data.framing`.

    mode: "L" (C=1) or "RGB" (C=3). size: edge of the result; None keeps width and height. background: what shows
    through where the picture is transparent. framing, margin: which part becomes the square.

    Raises:
        NotDecoded: It is no whole picture of one of `FORMATS`, or has more than `LARGEST` pixels.
        MemoryError: The memory is not enough, whatever the file is.
    """
    resize = partial(framed, size=size, framing=framing, margin=margin)
    # Black is of the colours that it is padded in: of an ink, or where a picture is transparent, 0 is no black.
    first, last = (None, resize) if framing == "pad" else (resize, None)
    shortest = None if size is None else enough(size, margin)

    def made(picture: Image.Image) -> np.ndarray:
        shown = upright(picture, mode=mode, background=background, shortest=shortest, resize=first)
        return pixels(last(shown) if last else shown, None)

    return read(content, made)


def read(content: Content, use: Callable[[Image.Image], Seen]) -> Seen:
    """What `use` makes of a picture that was opened; none of it may be kept but by a copy.

    Raises:
        NotDecoded: As of `decode`.
        MemoryError: As of `decode`.
    """
    try:
        with opened(content) as picture:
            return use(picture)
    except (NotDecoded, MemoryError):
        raise
    except Exception as error:  # decoders raise whatever the damage led them to, struct.error for one
        raise NotDecoded(_reason(error)) from None


def upright(
    picture: Image.Image,
    *,
    mode: str,
    background: Colour = WHITE,
    shortest: int | None = None,
    resize: Callable[[Image.Image], Image.Image] | None = None,
) -> Image.Image:
    """The first frame of an opened picture as a person sees it: turned by its orientation tag, in `mode`, on white.

    The picture itself is changed, and the result lives no longer than it.

    mode, background: as of `decode`.
    shortest: a short side in pixels that is enough; the formats that can (`REDUCED`) are then decoded at a fraction of
        their size, never below it. That is several times faster, and gives another picture than decoding all of it.
    resize: what is done before the colours are made sRGB, which takes about 25 ms a megapixel.
    """
    from PIL import ImageOps

    if shortest is not None and picture.format in REDUCED:
        picture.draft(None, (shortest, shortest))
    picture.load()
    try:
        ImageOps.exif_transpose(picture, in_place=True)
    except MemoryError:
        raise
    except Exception:  # a tag that cannot be read turns nothing, and the pixels are whole
        pass
    shown = plain(picture)
    if resize:
        shown = resize(shown)
    return flat(shown, mode=mode, background=background, profile=picture.info.get("icc_profile"))


@contextmanager
def opened(content: Content) -> Iterator[Image.Image]:
    """A picture whose pixels are not decoded yet, and count against `BUDGET` until the end of the block.

    Raises:
        NotDecoded: It is of another format, or too large.
    """
    # Pillow is needed where pictures are decoded, not where files are listed.
    from PIL import AvifImagePlugin, Image, UnidentifiedImageError

    if QUIET not in warnings.filters:
        warnings.filterwarnings("ignore", category=UserWarning, module=QUIET[3].pattern)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # several pictures are decoded at a time, not one by many threads
    # Ours is the check: Pillow's names no width and height, and prints a warning of Python's from half of it on.
    Image.MAX_IMAGE_PIXELS = None
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        formats = _readers(is_heif(file.read(HEAD)))
        file.seek(0)
        try:
            picture = Image.open(file, formats=formats)
        except UnidentifiedImageError:
            raise NotDecoded(f"its content is none of {', '.join(FORMATS)}, or damaged at its beginning") from None
        with picture:
            tags = getattr(picture, "tag_v2", {})
            for what, (width, height) in (("it", picture.size), ("a tile", [tags.get(tag, 0) for tag in TILE])):
                if width * height > LARGEST:
                    raise NotDecoded(
                        f"{what} has {width}x{height} pixels, and {LARGEST:,} are the most that are decoded"
                    )
            with BUDGET.hold(picture.width * picture.height):
                try:
                    yield picture
                finally:
                    picture.close()  # its pixels, too, are gone before others may have theirs


@cache
def knows_heif() -> bool:
    """Make Pillow read HEIF; whether what does is installed."""
    try:
        import pillow_heif  # pyright: ignore[reportMissingImports]
    except ImportError:
        return False
    # Beside the picture a file may hold small ones, which need not show the same.
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    return True


def _readers(heif: bool) -> tuple[str, ...]:
    """The formats that a file is tried for."""
    if not heif:
        return tuple(name for name in FORMATS if name != "HEIF")
    if not knows_heif():
        raise NotDecoded(f"it is HEIC, which needs pillow-heif: install it with `pip install -e '.[{EXTRA}]'`")
    return ("HEIF",)


def _reason(error: Exception) -> str:
    """Why, in one line; the operating system's errors without the name of the file."""
    return " ".join((getattr(error, "strerror", None) or str(error)).split()) or type(error).__name__
