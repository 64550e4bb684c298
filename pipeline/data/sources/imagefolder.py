"""Own images, one folder a class: found by `pipeline.data.listing`, decoded when asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.errors import UserError
from pipeline.data.images import Source
from pipeline.data.listing import Tree, trees


def files(root: Path, *, links: bool = False) -> dict[str, Any]:
    """What stands for the user's files in the spec: plan calls it, so that new files prepare the data anew."""
    from pipeline.data.listing import listing

    return listing(root, links)


@dataclass(frozen=True)
class Folder:
    """Image files."""

    paths: tuple[Path, ...]
    names: tuple[str, ...]  # below the root

    def read(self, row: int) -> bytes:
        """A whole file."""
        try:
            return self.paths[row].read_bytes()
        except OSError as error:
            raise UserError(
                f"{self.paths[row]} under data.root cannot be read ({error.strerror}): fix or remove it"
            ) from None


def load(root: Path, size: int | None, grayscale: bool, *, links: bool = False) -> Source:
    """Return the image files under `root`; with `links` those, too, that links out of it lead to."""
    train, *test = trees(root, links)
    images, labels = _images(root, train)
    own_test = _images(root, test[0]) if test else None
    # One source gives all paths, so that whatever was said of an image elsewhere finds it here.
    paths = (*images.names, *(own_test[0].names if own_test else ()))
    return Source(images, labels, tuple(train), own_test, paths)


def _images(root: Path, tree: Tree) -> tuple[Folder, np.ndarray]:
    labels_N = np.repeat(np.arange(len(tree)), [len(paths) for paths in tree.values()])
    paths = tuple(path for paths in tree.values() for path in paths)
    return Folder(paths, tuple(path.relative_to(root).as_posix() for path in paths)), labels_N
