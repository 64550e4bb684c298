"""Own images, one folder a class: found by `pipeline.data.listing`, decoded when asked for."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.errors import UserError
from pipeline.data.decode import NotDecoded, decode
from pipeline.data.images import Decoded, Source
from pipeline.data.listing import Tree, trees


def files(root: Path, *, links: bool = False) -> dict[str, Any]:
    """What stands for the user's files in the spec: plan calls it, so that new files prepare the data anew."""
    from pipeline.data.listing import listing

    return listing(root, links)


def load(root: Path, size: int | None, grayscale: bool, *, links: bool = False) -> Source:
    """Return the images under `root` as RGB, or as grey; with `links` those, too, that links out of it lead to.

    They are decoded when asked for: a damaged file, or one of another size where `size` is None,
    raises its `UserError` then.
    """
    train, *test = trees(root, links)
    classes = tuple(train)
    edge = _edge(next(iter(train.values()))[0]) if size is None else size
    mode = "L" if grayscale else "RGB"
    images, labels = _images(train, mode, size, edge)
    # One source gives all paths, so that whatever was said of an image elsewhere finds it here.
    paths = tuple(
        path.relative_to(root).as_posix() for tree in (train, *test) for files in tree.values() for path in files
    )
    return Source(images, labels, classes, _images(test[0], mode, size, edge) if test else None, paths)


def _images(tree: Tree, mode: str, size: int | None, edge: int) -> tuple[Decoded, np.ndarray]:
    paths = [path for paths in tree.values() for path in paths]
    labels_N = np.repeat(np.arange(len(tree)), [len(paths) for paths in tree.values()])

    def decode(row: int) -> np.ndarray:
        pixels_CHW = _open(paths[row], mode, size)
        _, height, width = pixels_CHW.shape
        if (height, width) != (edge, edge):
            raise UserError(
                f"{paths[row]} is {width}x{height} pixels and others are {edge}x{edge}: "
                "set data.size in params.yaml, so that all are scaled to one size"
            )
        return pixels_CHW

    return Decoded((len(paths), len(mode), edge, edge), decode), labels_N


def _edge(path: Path) -> int:
    _, height, width = _open(path, "L", None).shape
    if height != width:
        raise UserError(
            f"{path} is {width}x{height} pixels and not square: "
            "set data.size in params.yaml, so that all images are scaled and cropped to one size"
        )
    return height


def _open(path: Path, mode: str, size: int | None) -> np.ndarray:
    try:
        return decode(path, mode=mode, size=size)
    except NotDecoded as error:
        raise UserError(f"{path} under data.root is no readable image ({error}): replace it or take it out") from None
