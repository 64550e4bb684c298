"""What a prepared folder says of images that are in none of its splits: how many, why, and the first of their names."""

from pathlib import Path

from pipeline.base.files import read_json
from pipeline.data.prepared import beside

LEFT_OUT = "left_out.json"  # sentences; there is no such file where all that was found is used


def sentences(folder: Path) -> list[str]:
    """One a reason; none of a folder that an older release has written.

    Raises:
        UserError: The file is missing or damaged.
    """
    path = beside(folder, LEFT_OUT)
    return [] if path is None else read_json(path)
