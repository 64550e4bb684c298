"""Validation in two halves: one to fit by, one to prove with what was not fitted to it.

They are cut by a hash of what the images are, as splits are: units whole (`pipeline.data.splits`). An image that has no
group is a unit with those of the same content. Where all are one unit, the second half is empty.

Legend: N images of validation.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.data.encoded import EncodedImages
from pipeline.data.prepared import Split, beside
from pipeline.data.splits import borders

# In the prepared folder, where the source has groups: of each image of validation the number of its unit, uint64 (N,).
UNITS = "validation.units.npy"


@dataclass(frozen=True, eq=False)
class Halves:
    """Rows, int64, sorted.

    Attributes:
        first, second: Of the halves; as many images in each as whole units allow.
        apart: Of the second half one image a unit, by a hash of its content: those of one unit say the same again, and
            what is proven by counting must count each once.
    """

    first: np.ndarray
    second: np.ndarray
    apart: np.ndarray


def halves(folder: Path, validation: Split) -> Halves:
    """Cut validation in two.

    Raises:
        UserError: The file of units is missing or damaged.
    """
    keys_N = _of_groups(folder) or [_content(validation, row) for row in range(len(validation))]
    keys, unit_N, size_U = np.unique(keys_N, return_inverse=True, return_counts=True)
    if len(keys) < 2:
        return Halves(np.arange(len(keys_N)), np.arange(0), np.arange(0))
    order = np.argsort([hashlib.sha256(f"half:{key}".encode()).hexdigest() for key in keys])
    (middle,) = borders(size_U[order], [0.5])
    is_first_N = np.isin(unit_N, order[:middle])
    second_N = np.flatnonzero(~is_first_N)
    # A lone image need not be read for it.
    names = [_content(validation, row) if size_U[unit_N[row]] > 1 else "" for row in second_N.tolist()]
    by_name = second_N[np.argsort(names, kind="stable")]
    _, places = np.unique(unit_N[by_name], return_index=True)
    return Halves(np.flatnonzero(is_first_N), second_N, np.sort(by_name[places]))


def _of_groups(folder: Path) -> list[str] | None:
    if (path := beside(folder, UNITS)) is None:
        return None
    return [f"{unit:016x}" for unit in np.load(path, allow_pickle=False).tolist()]


def _content(split: Split, row: int) -> str:
    images = split.images
    content = images.content(row) if isinstance(images, EncodedImages) else images[row].tobytes()
    return hashlib.sha256(content).hexdigest()
