"""Own images, one folder a class: found by `pipeline.data.listing`."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.folder_files import FolderFiles
from pipeline.data.images import Source
from pipeline.data.listing import find


def files(root: Path, *, links: bool = False) -> dict[str, Any]:
    """What stands for the user's files in the spec: plan calls it, so that new files prepare the data anew."""
    from pipeline.data.listing import listing

    return listing(root, links)


def load(root: Path, *, links: bool = False) -> Source:
    """The image files under `root`; with `links` those, too, that links out of it lead to."""
    found = find(root, links)
    labels_N = np.array(found.labels, dtype=np.int64)
    files = FolderFiles(root, tuple(found.paths))
    return Source(files, labels_N, found.classes, found.splits, left_out=found.left_out.sentences())
