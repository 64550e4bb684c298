"""The data sets of torchvision, of which each has a file in `sources`."""

from itertools import repeat
from pathlib import Path

import numpy as np

from pipeline.base.errors import UserError
from pipeline.data.images import Source, fitted
from pipeline.data.names import SplitName


def load(name: str, kind: str, root: Path, size: int | None, grayscale: bool, *, download: bool) -> Source:
    """Return the data set that torchvision calls `kind`, for `data.source` `name`.

    Raises:
        UserError: It is not whole under `root`, and was not or could not be downloaded.
    """
    # torchvision and the torch below it take seconds to import: only these sources need them.
    from torchvision import datasets

    try:
        # torchvision unpickles CIFAR, after comparing its MD5 with the published one.
        train, test = (getattr(datasets, kind)(root=root, train=part, download=download) for part in (True, False))
    except Exception as error:  # what is missing, damaged or unreachable arrives as any of a dozen types
        raise UserError(_not_found(name, root, download, error)) from None
    values, labels_N = (
        np.concatenate([np.asarray(part) for part in both])
        for both in ((train.data, test.data), (train.targets, test.targets))
    )
    split_of_part: dict[SplitName, int] = {"train": len(train.targets), "test": len(test.targets)}
    splits: list[SplitName] = []
    for split, count in split_of_part.items():
        splits.extend(repeat(split, count))
    return Source(fitted(values, size, grayscale), labels_N.astype(np.int64), tuple(train.classes), splits)


def _not_found(name: str, root: Path, download: bool, error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    if download:
        return (
            f"data.source {name} could not be downloaded to data.root {root} ({reason}): "
            "connect to the network, or set data.root to a folder that holds it as torchvision lays it out"
        )
    return (
        f"data.source {name} is not whole under data.root {root} ({reason}): "
        "set data.root to the folder that holds it as torchvision lays it out, or data.download to true"
    )
