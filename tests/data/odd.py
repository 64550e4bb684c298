"""Image files as people have them, and as nobody should: what they hold, and what becomes of each.

A file is read as a square of `COLOUR`, or as nearly that as its format and depth allow; or it is refused, for a reason.
"""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from tests.data.profiles import gray, rgb

COLOUR = (200, 120, 40)
GREY = (120, 120, 120)
NONE = "its content is none of JPEG"


@dataclass(frozen=True)
class Odd:
    """A file.

    name: as it lies in the folder. content: makes its bytes. shows: red, green and blue, within `within` levels; None
    where it is refused. reason: begins what is said of a refused one.
    """

    name: str
    content: Callable[[], bytes]
    shows: tuple[int, int, int] | None = COLOUR
    within: int = 4
    reason: str = ""
    shape: tuple[int, int] = (48, 64)


def square(mode: str = "RGB", colour: Any = COLOUR, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A picture of one colour."""
    return Image.new("RGB", size, colour).convert(mode) if mode != "RGBA" else Image.new(mode, size, colour)


def saved(picture: Image.Image, kind: str, **settings: Any) -> Callable[[], bytes]:
    """Its file."""

    def content() -> bytes:
        file = io.BytesIO()
        picture.save(file, kind, **settings)
        return file.getvalue()

    return content


def cut(whole: Callable[[], bytes], share: float) -> Callable[[], bytes]:
    """The beginning of a file."""
    return lambda: (content := whole())[: int(share * len(content))]


def within(before: bytes, whole: Callable[[], bytes], after: bytes = b"") -> Callable[[], bytes]:
    """A file with something before it and after it."""
    return lambda: before + whole() + after


def deep(values: int, kind: Any = np.uint16, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Greys of more than 8 bits; the last one is the lightest that `values` says."""
    width, height = size
    pixels = np.full((height, width), round(values * 120 / 255), kind)
    pixels[-1, -1] = values
    return Image.fromarray(pixels)


def chunk(kind: bytes, content: bytes) -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *others: bytes) -> bytes:
    """A PNG made by hand: `rows` with their filter bytes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + header + b"".join(others) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    )


def rgb48() -> bytes:
    """A PNG of 16 bits a colour, which Pillow reads as 8."""
    row = b"\0" + struct.pack(">3H", *(level * 257 for level in COLOUR)) * 64
    return png(64, 48, 16, 2, row * 48)


def oriented(turned: int) -> bytes:
    """EXIF of a camera that was turned."""
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = turned
    return tags.tobytes()


def tile(edge: int) -> bytes:
    """A TIFF of 8 x 8 pixels in a tile of `edge` x `edge`."""
    tags = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 277: 1, 322: edge, 323: edge, 324: 8, 325: 64}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return struct.pack("<2sHI", b"II", 42, 72) + bytes(64) + struct.pack("<H", len(tags)) + entries + bytes(4)


def claims(whole: Callable[[], bytes], at: int, size: bytes) -> Callable[[], bytes]:
    """A file whose header has another size."""
    return lambda: (content := whole())[:at] + size + content[at + len(size) :]


def broken(whole: Callable[[], bytes]) -> Callable[[], bytes]:
    """A file whose middle is overwritten."""

    def content() -> bytes:
        found = bytearray(whole())
        middle = len(found) // 2
        found[middle : middle + 40] = b"\xff\x00" * 20
        return bytes(found)

    return content


WIDE = rgb(np.array([[0.49, 0.27, 0.20], [0.23, 0.69, 0.08], [0.0, 0.05, 1.04]]), 2.2)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n%%EndComments\nshowpage\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="48"><rect width="64" height="48"/></svg>'
JPEG, PNG = saved(square(), "JPEG"), saved(square(), "PNG")
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))

ODD = [
    # As they are called, and as they are.
    Odd("plain.jpg", JPEG),
    Odd("UPPER.JPG", JPEG),
    Odd("camera.jpeg", saved(square(), "JPEG", progressive=True, quality=60)),
    Odd("old.jpe", JPEG),
    Odd("browser.jfif", JPEG),
    Odd("two pictures.mpo", saved(square(), "MPO", save_all=True, append_images=[square(colour=(0, 0, 0))])),
    Odd("two pictures.jpg", saved(square(), "MPO", save_all=True, append_images=[square(colour=(0, 0, 0))])),
    Odd("a png.jpg", PNG),
    Odd("a webp.jpg", saved(square(), "WEBP")),
    Odd("a jpeg.png", JPEG),
    Odd("an avif.jpg", saved(square(), "AVIF")),
    Odd("a tiff.png", saved(square(), "TIFF")),
    Odd("ünïcödé 日本.png", PNG),
    Odd(" spaces and 'quotes'.png", PNG),
    Odd("line\nbreak.png", PNG),
    # Formats.
    Odd("plain.png", PNG),
    Odd("plain.bmp", saved(square(), "BMP"), within=0),
    Odd("plain.gif", saved(square("P"), "GIF"), within=26),
    Odd("plain.webp", saved(square(), "WEBP")),
    Odd("lossless.webp", saved(square(), "WEBP", lossless=True), within=0),
    Odd("plain.ppm", saved(square(), "PPM"), within=0),
    Odd("grey.pgm", saved(square("L", GREY), "PPM"), GREY, 0),
    Odd("text.ppm", lambda: b"P3 2 2 255 " + b"200 120 40 " * 4, within=0, shape=(2, 2)),
    Odd("ten bits.pgm", lambda: b"P2 3 1 1023 481 481 1023", GREY, 1, shape=(1, 3)),
    Odd("plain.tif", saved(square(), "TIFF"), within=0),
    Odd("packed.tiff", saved(square(), "TIFF", compression="tiff_lzw"), within=0),
    Odd("jpeg inside.tif", saved(square(), "TIFF", compression="jpeg")),
    Odd("big.tif", saved(square(), "TIFF", big_tiff=True), within=0),
    Odd("plain.avif", saved(square(), "AVIF")),
    # Modes.
    Odd("grey.jpg", saved(square("L", GREY), "JPEG"), GREY),
    Odd("print.jpg", saved(square("CMYK"), "JPEG")),
    Odd("print.tif", saved(square("CMYK"), "TIFF")),
    Odd("lab.tif", saved(Image.new("LAB", (64, 48), (130, 128, 128)), "TIFF"), (121, 121, 121), 3),
    Odd("one bit.png", saved(square("1", (255, 255, 255)), "PNG"), (255, 255, 255), 0),
    Odd("palette.png", saved(square().quantize(4), "PNG"), within=0),
    Odd("clear.png", saved(square("RGBA", (0, 0, 0, 0)), "PNG"), (255, 255, 255), 0),
    Odd("half clear.png", saved(square("RGBA", (0, 0, 0, 128)), "PNG"), (127, 127, 127), 1),
    Odd("clear.webp", saved(square("RGBA", (0, 0, 0, 0)), "WEBP", lossless=True), (255, 255, 255), 0),
    Odd("clear.avif", saved(square("RGBA", (0, 0, 0, 0)), "AVIF"), (255, 255, 255), 2),
    Odd("clear.gif", saved(square().quantize(4), "GIF", transparency=0), (255, 255, 255), 0),
    Odd("clear colour.png", saved(square(), "PNG", transparency=COLOUR), (255, 255, 255), 0),
    Odd("clear grey.png", saved(square("L", GREY), "PNG", transparency=120), (255, 255, 255), 0),
    Odd("grey and clear.png", saved(square("LA", GREY), "PNG"), GREY, 0),
    # Depths.
    Odd("16 bits.png", saved(deep(65535), "PNG"), GREY, 0),
    Odd("12 bits in 16.png", saved(deep(4095), "PNG"), GREY, 0),
    Odd("12 bits in 16.tif", saved(deep(4095), "TIFF"), GREY, 0),
    Odd("10 bits in 32.tif", saved(deep(1023, np.int32), "TIFF"), GREY, 0),
    Odd("floats.tif", saved(deep(1, np.float64).convert("F").point(lambda v: v * 0 + 120 / 255), "TIFF"), GREY, 0),
    Odd("48 bits.png", rgb48, within=0),
    # Colours, turns and frames.
    Odd("wide.jpg", saved(square(), "JPEG", icc_profile=WIDE), (215, 116, 0)),
    Odd("wide.png", saved(square(), "PNG", icc_profile=WIDE), (215, 116, 0)),
    Odd("grey profile.png", saved(square("L", GREY), "PNG", icc_profile=gray(1.0)), (181, 181, 181), 2),
    Odd("broken profile.png", saved(square(), "PNG", icc_profile=b"no profile"), within=0),
    Odd("turned.jpg", saved(square(), "JPEG", exif=oriented(6)), shape=(64, 48)),
    Odd("turned.png", saved(square(), "PNG", exif=oriented(8)), shape=(64, 48), within=0),
    Odd("turned.tif", saved(square(), "TIFF", exif=oriented(5)), shape=(64, 48), within=0),
    Odd("turned.webp", saved(square(), "WEBP", exif=oriented(7)), shape=(64, 48)),
    Odd("turned.avif", saved(square(), "AVIF", exif=oriented(6)), shape=(64, 48)),
    Odd("turned nowhere.jpg", saved(square(), "JPEG", exif=oriented(9))),
    Odd("broken tags.jpg", saved(square(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")),
    Odd("moving.gif", saved(square("P"), "GIF", save_all=True, append_images=[square("P", (0, 0, 0))]), within=26),
    Odd("moving.webp", saved(square(), "WEBP", save_all=True, append_images=[square(colour=(0, 0, 0))])),
    Odd("moving.png", saved(square(), "PNG", save_all=True, append_images=[square(colour=(0, 0, 0))]), within=0),
    Odd("pages.tif", saved(square(), "TIFF", save_all=True, append_images=[square(colour=(0, 0, 0))]), within=0),
    # Sizes.
    Odd("one pixel.png", saved(square(size=(1, 1)), "PNG"), within=0, shape=(1, 1)),
    Odd("one row.png", saved(square(size=(3000, 1)), "PNG"), within=0, shape=(1, 3000)),
    Odd("one column.jpg", saved(square(size=(1, 3000)), "JPEG"), shape=(3000, 1)),
    # With something around them, which does no harm.
    Odd("more after it.jpg", within(b"", JPEG, b"and a film that a phone has put here" * 99)),
    Odd("more after it.png", within(b"", PNG, bytes(99)), within=0),
    # No whole picture.
    Odd("empty.jpg", lambda: b"", None, reason=NONE),
    Odd("text.jpg", lambda: b"a line of text\n", None, reason=NONE),
    Odd("page.jpg", lambda: b"<!doctype html><title>404</title>" + bytes(400), None, reason=NONE),
    Odd("zeros.jpg", lambda: bytes(4096), None, reason=NONE),
    Odd("head.jpg", lambda: JPEG()[:4], None, reason=""),
    Odd("half.jpg", cut(saved(NOISE, "JPEG"), 0.5), None, reason="image file is truncated"),
    Odd("half.png", cut(saved(NOISE, "PNG"), 0.5), None, reason=""),
    Odd("half.webp", cut(saved(NOISE, "WEBP"), 0.5), None, reason=""),
    Odd("half.gif", cut(saved(NOISE, "GIF"), 0.5), None, reason="image file is truncated"),
    Odd("half.bmp", cut(saved(NOISE, "BMP"), 0.5), None, reason="image file is truncated"),
    Odd("half.tif", cut(saved(NOISE, "TIFF"), 0.5), None, reason=""),
    Odd("half.avif", cut(saved(NOISE, "AVIF"), 0.5), None, reason=""),
    Odd("half.ppm", cut(saved(NOISE, "PPM"), 0.5), None, reason="image file is truncated"),
    Odd("broken.png", broken(saved(NOISE, "PNG")), None, reason=""),
    Odd("before it.jpg", within(b"\r\n", JPEG), None, reason=NONE),
    # No picture that is read.
    Odd("an eps.png", lambda: EPS, None, reason=NONE),
    Odd("an eps.jpg", saved(square(), "EPS"), None, reason=NONE),
    Odd("a pdf.png", saved(square(), "PDF"), None, reason=NONE),
    Odd("an svg.png", lambda: SVG, None, reason=NONE),
    Odd("an icon.png", saved(square(), "ICO"), None, reason=NONE),
    Odd("jpeg 2000.jpg", saved(square(), "JPEG2000"), None, reason=NONE),
    Odd("a targa.png", saved(square(), "TGA"), None, reason=NONE),
    Odd("a film.jpg", lambda: b"\0\0\0\x20ftypisom" + bytes(99), None, reason=NONE),
    Odd("another heif.heic", lambda: b"\0\0\0\x14ftypmif1\0\0\0\0unci" + bytes(99), None, reason=NONE),
    # Small files that claim much.
    Odd("bomb.png", lambda: png(60_000, 60_000, 1, 0, bytes(999)), None, reason="it has 60000x60000 pixels, and"),
    Odd("bomb.bmp", claims(saved(square(), "BMP"), 18, struct.pack("<ii", 50_000, 50_000)), None,
        reason="it has 50000x50000 pixels, and"),
    Odd("bomb.tif", lambda: tile(1 << 20), None, reason="a tile has 1048576x1048576 pixels, and"),
    Odd("bomb.ppm", lambda: b"P6 99999 99999 255 ", None, reason="it has 99999x99999 pixels, and"),
    Odd("bomb.gif", claims(saved(square("P"), "GIF"), 6, struct.pack("<HH", 65535, 65535)), None,
        reason="it has 65535x65535 pixels, and"),
]  # fmt: skip
HEIC = [
    Odd("phone.heic", saved(square(), "HEIF")),
    Odd("phone.jpg", saved(square(), "HEIF")),
    Odd("turned.heif", saved(square(), "HEIF", exif=oriented(6)), shape=(64, 48)),
    Odd("clear.hif", saved(square("RGBA", (0, 0, 0, 0)), "HEIF"), (255, 255, 255), 2),
    Odd("half.heic", cut(saved(NOISE, "HEIF"), 0.5), None, reason=""),
    Odd("several.heic", saved(square(), "HEIF", save_all=True, append_images=[square(colour=(0, 0, 0))])),
]
