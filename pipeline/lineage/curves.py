"""What a training's epochs were like: `curves/<node>.csv`."""

import csv
from pathlib import Path

from pipeline.base.errors import UserError
from pipeline.base.paths import CURVES

Curve = dict[str, list[float]]


def read_curve(name: str, top: Path = Path()) -> Curve:
    """The columns of a node's curve, by their names; nan where a cell is empty. A damaged file is a `UserError`."""
    path = top / CURVES / f"{name}.csv"
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        columns = list(rows[0]) if rows else []
        return {column: [float(row[column] or "nan") for row in rows] for column in columns}
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise UserError(f"{path} cannot be used ({error}): delete it and run `dvc repro`") from None
