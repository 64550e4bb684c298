"""Own images that a list names, with their classes: see `pipeline.data.manifest`."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.folder_files import FolderFiles
from pipeline.data.images import Source
from pipeline.data.manifest import read_manifest


def files(root: Path, *, manifest: str = "manifest.csv", links: bool = False) -> dict[str, Any]:
    """What stands for the user's files in the spec: plan calls it, so that new files prepare the data anew."""
    from pipeline.data.manifest import listing

    return listing(root, manifest, links)


def load(root: Path, *, manifest: str = "manifest.csv", links: bool = False) -> Source:
    """The image files that the file `manifest` below `root` names; with `links` also those that lie elsewhere."""
    found = read_manifest(root, manifest, links)
    labels_N = np.array(found.labels, dtype=np.int64)
    weights_N = None if found.weights is None else np.array(found.weights)
    files = FolderFiles(root, tuple(found.paths))
    return Source(files, labels_N, found.classes, found.splits, found.groups, weights=weights_N)
