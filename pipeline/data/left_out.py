"""What a prepared folder says of images that are in none of its splits: how many, why, and the first of their names."""

from pathlib import Path

from pipeline.base.errors import UserError
from pipeline.base.files import read_json, verify
from pipeline.data.prepared import read_header

LEFT_OUT = "left_out.json"  # sentences; there is no such file where all that was found is used


def sentences(folder: Path) -> list[str]:
    """One a reason; none of a folder that an older release has written.

    Raises:
        UserError: The file is missing or damaged.
    """
    path, recorded = folder / LEFT_OUT, read_header(folder).files
    if LEFT_OUT not in recorded:
        return []
    again = f"delete {folder} and run `dvc repro`"
    try:
        verify(path, recorded[LEFT_OUT], again)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {again}") from None
    return read_json(path)
