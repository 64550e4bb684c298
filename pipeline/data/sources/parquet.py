"""Images in the rows of Parquet files, as data sets are published on Hugging Face: see `pipeline.data.tables`."""

from pathlib import Path
from typing import Any

from pipeline.data.holders import find_holders
from pipeline.data.images import Source
from pipeline.data.tables import load_tables


def files(
    root: Path,
    *,
    image_column: str = "image",
    label_column: str = "label",
    group_column: str | None = None,
    links: bool = False,
) -> dict[str, Any]:
    """What stands for the user's files in the spec: plan calls it, so that new files prepare the data anew."""
    from pipeline.data.holders import listing

    return listing(root, "*.parquet", links)


def load(
    root: Path,
    *,
    image_column: str = "image",
    label_column: str = "label",
    group_column: str | None = None,
    links: bool = False,
) -> Source:
    """The rows of all Parquet files below `root`."""
    return load_tables("parquet", find_holders(root, "*.parquet", links), image_column, label_column, group_column)
