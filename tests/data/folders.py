"""Small image folders for the tests of this package."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.decode import knows_heif

HEIF = knows_heif()
NEEDS_HEIF = pytest.mark.skipif(not HEIF, reason="HEIC needs the package pillow-heif")


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
