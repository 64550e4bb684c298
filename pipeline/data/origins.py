"""Where each prepared image came from: its number in the source, and its path below `data.root` where it is a file.

One sealed file beside the prepared images, which no training reads: what was said of an image elsewhere, as the answers
of a teacher, finds its row by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.base.errors import UserError
from pipeline.base.files import read_sealed, write_sealed

ORIGINS = "origins.json"
SCHEMA = 1


@dataclass(frozen=True, eq=False)
class Origins:
    """The images of a source, and which of them are prepared.

    Attributes:
        rows: split -> the number in the source of each of its rows, int64 (N,).
        count: Images of the source, in all its splits; those of a test split of its own are counted last.
        paths: Of each of them below `data.root`, in that order; None where they are no files.
    """

    rows: Mapping[str, np.ndarray]
    count: int
    paths: tuple[str, ...] | None

    def name(self, number: int) -> str:
        """An image as a file of answers names it."""
        return repr(self.paths[number]) if self.paths else str(number)


def write_origins(folder: Path, data_hash: str, origins: Origins) -> None:
    """Write the file into a prepared folder; data_hash: of the images that are prepared there."""
    value = {
        "schema": SCHEMA,
        "data_hash": data_hash,
        "rows": {split: rows_N.tolist() for split, rows_N in origins.rows.items()},
        "count": origins.count,
        "paths": origins.paths and [*origins.paths],
    }
    write_sealed(folder / ORIGINS, value)


def read_origins(folder: Path, data_hash: str) -> Origins:
    """What `write_origins` wrote of these very images; `UserError` where it is missing, damaged or of others."""
    path = folder / ORIGINS
    value = read_sealed(path, SCHEMA)
    if value["data_hash"] != data_hash:
        raise UserError(f"{path} is of other images than lie beside it: delete {folder} and run `dvc repro`")
    rows = {split: np.asarray(numbers, dtype=np.int64) for split, numbers in value["rows"].items()}
    paths = value["paths"]
    return Origins(rows, value["count"], None if paths is None else tuple(paths))
