"""Small image folders for the tests of this package."""

from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.base.errors import UserError
from pipeline.data.images import is_files
from pipeline.data.prepare import unreadable
from pipeline.data.sources import imagefolder
from pipeline.data.writing import FilePixels, Unreadable


def picture(path: Path, *, size: tuple[int, int] = (6, 6), mode: str = "RGB", seed: int = 0) -> np.ndarray:
    """Write noise of (width, height) as an image file; return the array that was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    shape = (height, width, len(mode)) if len(mode) > 1 else (height, width)
    values = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(values).save(path)
    return values


def folder(root: Path, counts: dict[str, int], *, size: tuple[int, int] = (6, 6)) -> Path:
    """Write `root/<class>/<number>.png` of noise for each class."""
    for label, (name, count) in enumerate(counts.items()):
        for number in range(count):
            picture(root / name / f"{number:03}.png", size=size, seed=1000 * label + number)
    return root


def decoded(root: Path, size: int) -> np.ndarray:
    """All images of a folder, uint8 (N, 3, size, size), or the error with which `prepare` ends."""
    files = imagefolder.load(root, size, False).images
    assert is_files(files)
    images = FilePixels(files, 0, "RGB", size)
    pixels_NCHW = images[np.arange(len(files.names))]
    if images.unreadable:
        raise UserError(unreadable(Unreadable(sorted(images.unreadable)), files, root))
    return pixels_NCHW
