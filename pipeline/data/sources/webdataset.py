"""Images in tar archives, as WebDataset has them: see `pipeline.data.tars`."""

from pathlib import Path
from typing import Any

from pipeline.data.holders import find_holders
from pipeline.data.images import Source
from pipeline.data.tars import load_tars


def files(root: Path, *, label_file: str = "cls", label_key: str | None = None, links: bool = False) -> dict[str, Any]:
    """What stands for the user's files in the spec: plan calls it, so that new files prepare the data anew."""
    from pipeline.data.holders import listing

    return listing(root, "*.tar", links)


def load(root: Path, *, label_file: str = "cls", label_key: str | None = None, links: bool = False) -> Source:
    """The samples of all archives below `root`; `label_key`: of the class, where the label is a JSON file."""
    return load_tars(find_holders(root, "*.tar", links), label_file, label_key)
