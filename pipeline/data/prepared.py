"""The prepared folder: three splits as memory-mapped arrays, and the header that describes them.

data.json, <split>.images.npy (uint8 N, C, H, W), <split>.labels.npy (int64 N), train.true_labels.npy
(int64 N, before label noise). The header is sealed and has the hash of every array; all are compared before any
is used, so that a damaged byte is found and named before it trains anything.
"""

from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from pipeline.base.errors import UserError
from pipeline.base.files import read_sealed, verify

SCHEMA = 2
HEADER = "data.json"
SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
IMAGES = {split: f"{split}.images.npy" for split in SPLITS}
LABELS = {split: f"{split}.labels.npy" for split in SPLITS}
TRUE_LABELS = "train.true_labels.npy"


@dataclass(frozen=True)
class DataHeader:
    """What data.json holds.

    shapes: split -> (N, C, H, W). mean, std: per channel, of pixels / 255 over the training split.
    label_noise: share asked for; relabelled: training labels that differ from the true ones.
    unlabelled: training images without a label, whose number of a class is -1; the key is left out where it is 0.
    files: SHA-256 of each array's file, by its name.
    hash: SHA-256 of all arrays, class names, mean and std: what stored labels are bound to.
    """

    schema: Literal[2]
    source: str
    classes: tuple[str, ...]
    shapes: dict[SplitName, tuple[int, int, int, int]]
    counts: dict[SplitName, int]
    dtype: Literal["uint8"]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    label_noise: float
    relabelled: int
    files: dict[str, str]
    hash: str
    unlabelled: int = 0


@dataclass(frozen=True, eq=False)
class Split:
    """images: uint8 (N, C, H, W), mapped read-only; labels: int64 (N,), read-only, -1 for a training image without."""

    images: np.memmap
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Prepared:
    """Three splits and what describes them; `true_labels` are train's before label noise, int64 (N,)."""

    train: Split
    validation: Split
    test: Split
    true_labels: np.ndarray
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: int
    size: int
    hash: str


def read_header(folder: Path) -> DataHeader:
    """What data.json of a prepared folder holds; `UserError` where it is missing, damaged, or not valid."""
    path = folder / HEADER
    try:
        return TypeAdapter(DataHeader).validate_python(read_sealed(path, SCHEMA))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "header"
        raise UserError(f"{path} has no valid {where} ({first['msg']}): delete {folder} and run `dvc repro`") from None


def read(folder: Path) -> Prepared:
    """Open a prepared folder; every file is read once to compare its hash, and pixels stay on disk.

    Raises `UserError` naming the file that is missing, damaged, or not as the header has it.
    """
    path, header = folder / HEADER, read_header(folder)
    _, *image = header.shapes["train"]
    for split, (count, *each) in header.shapes.items():
        if count < 1 or each != image or image[1] != image[2]:
            raise UserError(
                f"{path} has no valid shapes.{split} ({count} images of {each}, train's are of {image}): "
                f"delete {folder} and run `dvc repro`"
            )
    channels, size, _ = image
    if not len(header.mean) == len(header.std) == channels or not all(0 < each < 1 for each in header.std):
        raise UserError(f"{path} has no valid mean and std of {channels} channels: delete {folder} and run `dvc repro`")
    return Prepared(
        train=_split(folder, header, "train"),
        validation=_split(folder, header, "validation"),
        test=_split(folder, header, "test"),
        true_labels=_labels(folder / TRUE_LABELS, header, "train"),
        classes=header.classes,
        mean=header.mean,
        std=header.std,
        channels=channels,
        size=size,
        hash=header.hash,
    )


def _split(folder: Path, header: DataHeader, split: SplitName) -> Split:
    images = _array(folder / IMAGES[split], header, np.dtype(np.uint8), header.shapes[split])
    return Split(images, _labels(folder / LABELS[split], header, split))


def _labels(path: Path, header: DataHeader, split: SplitName) -> np.ndarray:
    labels_N = np.asarray(_array(path, header, np.dtype(np.int64), header.shapes[split][:1]))
    unlabelled = header.unlabelled if split == "train" else 0
    if labels_N.min() < -1 or labels_N.max() >= len(header.classes) or (labels_N == -1).sum() != unlabelled:
        raise UserError(f"{path} has labels outside the {len(header.classes)} classes: run `dvc repro` to remake it")
    return labels_N


def _array(path: Path, header: DataHeader, dtype: np.dtype, shape: tuple[int, ...]) -> np.memmap:
    """Map an .npy file read-only, after comparing its hash, and then its own header, with the header."""
    again = f"delete {path.parent} and run `dvc repro`"
    try:
        verify(path, header.files.get(path.name), again)
        array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro` to make it") from None
    except (ValueError, OSError, TokenError) as error:  # numpy takes an array's own header apart as Python does code
        raise UserError(f"{path} is damaged ({error}): {again}") from None
    if array.dtype != dtype or array.shape != shape:
        raise UserError(f"{path} holds {array.dtype} {array.shape} and {HEADER} says {dtype} {shape}: {again}")
    return array
