"""Where images come from: the digits inside scikit-learn, torchvision's data sets, or own folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.base.errors import UserError
from pipeline.data import imagefolder
from pipeline.data.images import Decoded, Images, Source, pixels

if TYPE_CHECKING:
    # The type only: a changed default is in the spec, not in the code that obeys it.
    from pipeline.config.data import Data


def load(data: Data, root: Path) -> Source:
    """Return the source that `data.source` names, scaled to `data.size` and made grey where `data.grayscale`.

    root: `data.root`, resolved. Raises `UserError` where nothing usable lies there.
    """
    match data.source:
        case "digits":
            return _digits(data)
        case "imagefolder":
            return imagefolder.load(data, root)
        case _:
            return _torchvision(data, root)


def _digits(data: Data) -> Source:
    # scikit-learn takes over a second to import: only this source needs it.
    from sklearn.datasets import load_digits

    pixels_NP, labels_N = load_digits(return_X_y=True)
    values_NHW = np.rint(pixels_NP.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)  # the source counts 0..16
    return Source(
        images=_fitted(data, values_NHW),
        labels=labels_N.astype(np.int64),
        classes=tuple(str(digit) for digit in range(10)),
    )


def _torchvision(data: Data, root: Path) -> Source:
    # torchvision and the torch below it take seconds to import: only these sources need them.
    from torchvision import datasets

    kind = {
        "mnist": datasets.MNIST,
        "fashion_mnist": datasets.FashionMNIST,
        "cifar10": datasets.CIFAR10,
        "cifar100": datasets.CIFAR100,
    }[data.source]
    try:
        # torchvision unpickles CIFAR, after comparing its MD5 with the published one.
        train, test = (kind(root=root, train=part, download=data.download) for part in (True, False))
    except Exception as error:  # what is missing, damaged or unreachable arrives as any of a dozen types
        raise UserError(_not_found(data, root, error)) from None
    return Source(
        images=_fitted(data, np.asarray(train.data)),
        labels=np.asarray(train.targets, dtype=np.int64),
        classes=tuple(train.classes),
        test=(_fitted(data, np.asarray(test.data)), np.asarray(test.targets, dtype=np.int64)),
    )


def _not_found(data: Data, root: Path, error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    if data.download:
        return (
            f"data.source {data.source} could not be downloaded to data.root {root} ({reason}): "
            "connect to the network, or set data.root to a folder that holds it as torchvision lays it out"
        )
    return (
        f"data.source {data.source} is not whole under data.root {root} ({reason}): "
        "set data.root to the folder that holds it as torchvision lays it out, or data.download to true"
    )


def _fitted(data: Data, values: np.ndarray) -> Images:
    """Images of uint8 (N, H, W) or (N, H, W, 3), at the size and with the channels that `data` asks for."""
    from PIL import Image

    count, edge, _, *colours = values.shape
    size = data.size or edge
    if size == edge and not (colours and data.grayscale):
        return values.transpose(0, 3, 1, 2) if colours else values[:, None]
    mode = "RGB" if colours and not data.grayscale else "L"
    return Decoded(
        (count, len(mode), size, size), lambda row: pixels(Image.fromarray(values[row]), mode=mode, size=size)
    )
