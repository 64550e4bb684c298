"""What the photographs beside the repository look like: written by `python -m tests.data.photos`.

A lossy format is decoded a little differently by each library and version, so its files are compared by the mean
colours of 16 parts, which no decoder moves by more than a level or two, and which a wrong turn, profile, crop or
channel moves by many. With the very decoders of the record every pixel must be the recorded one.

Legend: H, W height and width in pixels, C channels.
"""

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import features

from pipeline.data.ahead import cores, in_order
from pipeline.data.decode import decode, knows_heif
from pipeline.data.formats import FORMATS
from tests.scratch import ROOT

PHOTOS = ROOT.parent / "shared" / "data" / "photos"
RECORD = Path(__file__).with_name("photos.json")
SIZE, PARTS = 64, 4  # pixels of an edge, and parts of it
KINDS = {suffix: kind for kind, suffixes in FORMATS.items() for suffix in suffixes}


def photos(kind: str) -> list[Path]:
    """The files that are called so, sorted."""
    return sorted(path for path in PHOTOS.rglob("*") if KINDS.get(path.suffix.lower()) == kind)


def read(paths: list[Path]) -> list[np.ndarray]:
    """Of each uint8 (C, H, W)."""
    return [*in_order(lambda path: decode(path, mode="RGB", size=SIZE), paths, cores())]


def parts(pixels_CHW: np.ndarray) -> np.ndarray:
    """Mean levels of red, green and blue of each part, row by row: float64 (PARTS * PARTS * C,)."""
    edge = SIZE // PARTS
    means = pixels_CHW.reshape(3, PARTS, edge, PARTS, edge).mean((2, 4))
    return means.transpose(1, 2, 0).ravel()


def checksum(pixels: list[np.ndarray]) -> str:
    """SHA-256 of all of them."""
    return hashlib.sha256(b"".join(each.tobytes() for each in pixels)).hexdigest()


def decoders() -> dict[str, str]:
    """What decodes here, each with its version."""
    names = ("libjpeg_turbo", "zlib", "webp", "libtiff", "avif", "littlecms2")
    found = {"pillow": PIL.__version__} | {name: features.version(name) or "none" for name in names}
    return found | ({"pillow_heif": metadata.version("pillow_heif")} if knows_heif() else {})


def record() -> dict[str, Any]:
    """Of each format: the checksum of its files' pixels, and their parts as two hexadecimal digits a level."""
    found: dict[str, Any] = {"decoders": decoders(), "formats": {}}
    for kind in FORMATS:
        if paths := photos(kind):
            pixels = read(paths)
            files = {
                path.relative_to(PHOTOS).as_posix(): np.rint(parts(each)).astype(np.uint8).tobytes().hex()
                for path, each in zip(paths, pixels, strict=True)
            }
            found["formats"][kind] = {"checksum": checksum(pixels), "files": files}
    return found


if __name__ == "__main__":
    RECORD.write_text(json.dumps(record(), indent=1) + "\n")
