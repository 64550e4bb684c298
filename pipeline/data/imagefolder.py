"""Own images: found by `pipeline.data.listing`, decoded when asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.base.errors import UserError
from pipeline.data.images import Decoded, Source, pixels
from pipeline.data.listing import Tree, trees

if TYPE_CHECKING:
    # The type only: a changed default is in the spec, not in the code that obeys it.
    from pipeline.config.data import Data


def load(data: Data, root: Path) -> Source:
    """Return the images under `root` as RGB, or as grey where `data.grayscale`.

    They are decoded when asked for: a damaged file, or one of another size where `data.size` is None,
    raises its `UserError` then.
    """
    train, *test = trees(root, data.links)
    classes = tuple(train)
    edge = _edge(next(iter(train.values()))[0]) if data.size is None else data.size
    images, labels = _images(data, train, edge)
    return Source(images, labels, classes, _images(data, test[0], edge) if test else None)


def _images(data: Data, tree: Tree, edge: int) -> tuple[Decoded, np.ndarray]:
    paths = [path for paths in tree.values() for path in paths]
    mode = "L" if data.grayscale else "RGB"
    labels_N = np.repeat(np.arange(len(tree)), [len(paths) for paths in tree.values()])

    def decode(row: int) -> np.ndarray:
        pixels_CHW = _open(paths[row], mode, data.size)
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
    # Pillow is needed here only: `plan` lists files and decodes none.
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return pixels(picture, mode=mode, size=size)
    except Image.DecompressionBombError:
        raise UserError(
            f"{path} under data.root claims more pixels than Pillow decodes safely: shrink it or take it out"
        ) from None
    except Exception as error:  # decoders raise whatever the damage led them to, struct.error for one
        raise UserError(f"{path} under data.root is no readable image ({error}): replace it or take it out") from None
