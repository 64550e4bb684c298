"""Beside a shipped file: images, what it answers to them, and a program that compares, free of this package.

Legend: N images, C channels or classes, S edge of what the network takes.
"""

import hashlib
import io
from pathlib import Path

import numpy as np

from pipeline.base.files import write_bytes, write_text
from pipeline.compression import checker
from pipeline.compression.runtime import Runtime
from pipeline.data.encoded import EncodedImages

FOLDER, LOGITS, PROGRAM = "examples", "logits.npy", "check.py"


def write_examples(folder: Path, runtime: Runtime, images: np.ndarray | EncodedImages, count: int) -> None:
    """Write `count` of the images, or all there are: those whose pixels have the least hash, so that nobody picks them.

    folder: of the file. images: uint8 (N, C, H, W). They lie there lossless, at the network's size; logits are float32.
    """
    chosen = images[chosen_rows(images, count)]
    pixels_NCSS = runtime.at_size(chosen)
    made = folder / FOLDER
    made.mkdir()
    for number, pixels_CSS in enumerate(pixels_NCSS):
        write_bytes(made / f"{number:03}.png", _png(pixels_CSS))
    np.save(made / LOGITS, runtime.logits(pixels_NCSS, batch_size=1), allow_pickle=False)
    write_text(folder / PROGRAM, Path(checker.__file__).read_text())


def chosen_rows(images: np.ndarray | EncodedImages, count: int) -> np.ndarray:
    """The rows whose content has the least hash, in that order: more images in the split move none of them far."""
    contents = (
        images.content(row) if isinstance(images, EncodedImages) else images[row].tobytes()
        for row in range(len(images))
    )
    hashes = [hashlib.sha256(b"example:" + content).hexdigest() for content in contents]
    return np.argsort(hashes, kind="stable")[:count]


def _png(pixels_CSS: np.ndarray) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    shown = pixels_CSS[0] if len(pixels_CSS) == 1 else pixels_CSS.transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(shown)).save(content, "PNG")
    return content.getvalue()
