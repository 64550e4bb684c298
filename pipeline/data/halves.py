"""Validation in two halves: one to fit by, one to prove with what was not fitted to it.

They are cut by a hash of what the images are, as splits are: units whole (`pipeline.data.splits`). An image that has no
group is a unit with those of the same content. Where all are one unit, the second half is empty.

Legend: N images of validation.
"""

import hashlib
from pathlib import Path

import numpy as np

from pipeline.base.errors import UserError
from pipeline.base.files import verify
from pipeline.data.encoded import EncodedImages
from pipeline.data.prepared import Split, read_header
from pipeline.data.splits import borders

# In the prepared folder, where the source has groups: of each image of validation the number of its unit, uint64 (N,).
UNITS = "validation.units.npy"


def halves(folder: Path, validation: Split) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the first and of the second half, int64, sorted; as many images in each as whole units allow.

    Raises:
        UserError: The file of units is missing or damaged.
    """
    keys_N = _of_groups(folder) or [_content(validation, row) for row in range(len(validation))]
    keys, unit_N, size_U = np.unique(keys_N, return_inverse=True, return_counts=True)
    if len(keys) < 2:
        return np.arange(len(keys_N)), np.arange(0)
    order = np.argsort([hashlib.sha256(f"half:{key}".encode()).hexdigest() for key in keys])
    (middle,) = borders(size_U[order], [0.5])
    is_first_N = np.isin(unit_N, order[:middle])
    return np.flatnonzero(is_first_N), np.flatnonzero(~is_first_N)


def _of_groups(folder: Path) -> list[str] | None:
    path, recorded = folder / UNITS, read_header(folder).files
    if UNITS not in recorded:
        return None
    again = f"delete {folder} and run `dvc repro`"
    try:
        verify(path, recorded[UNITS], again)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {again}") from None
    return [f"{unit:016x}" for unit in np.load(path, allow_pickle=False).tolist()]


def _content(split: Split, row: int) -> str:
    images = split.images
    content = images.content(row) if isinstance(images, EncodedImages) else images[row].tobytes()
    return hashlib.sha256(content).hexdigest()
