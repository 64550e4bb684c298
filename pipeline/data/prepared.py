"""The prepared folder: three splits, and the header that describes them.

data.json, <split>.labels.npy (int64 N), train.true_labels.npy (int64 N, before label noise), train.weights.npy (float64
N, how often each is drawn, where not all are drawn alike), and the images:

- storage `pixels`: <split>.images.npy (uint8 N, C, H, W).
- storage `encoded`: shards/<number>.tar, with images of all splits, and <split>.rows.npy (`shards.PLACE` N), which says
  where in them each row lies.

Beside them, where there is something to say: validation.units.npy (`data.halves`), left_out.json (`data.left_out`).

The header is sealed and has the hash of every file. Those of arrays are compared before any is used, that of a shard
when something is first read of it, so that a damaged byte is found and named before it trains anything.
"""

from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from pipeline.base.errors import UserError
from pipeline.base.files import read_sealed, verify
from pipeline.config.input import Input, Rendering
from pipeline.data.colours import WHITE, Colour
from pipeline.data.decoders import renderer
from pipeline.data.encoded import SHARDS, EncodedImages, Shards
from pipeline.data.names import NO_LABEL, SPLITS, SplitName
from pipeline.data.shards import PLACE

SCHEMA = 3
HEADER = "data.json"
Storage = Literal["pixels", "encoded"]
Shape = tuple[int, int, int, int]
IMAGES = {split: f"{split}.images.npy" for split in SPLITS}
ROWS = {split: f"{split}.rows.npy" for split in SPLITS}
LABELS = {split: f"{split}.labels.npy" for split in SPLITS}
TRUE_LABELS = "train.true_labels.npy"
WEIGHTS = "train.weights.npy"


@dataclass(frozen=True)
class DataHeader:
    """What data.json holds.

    shapes: split -> (N, C, H, W). mean, std: per channel, of pixels / 255 over the training split.
    label_noise: share asked for; relabelled: training labels that differ from the true ones.
    storage: how the images lie there. Where they are encoded, store_size: their short side in pixels, at most;
    decoders: what encoded them, and its version; shapes are those of the images once they are decoded.
    background: what shows through where an image file is transparent. jpeg_scale: how many times the size asked for a
    JPEG's short side is at least once it is decoded, at reduced scale; None where all of each image is decoded.
    unlabelled: training images without a label, whose number of a class is -1; the key is left out where it is 0.
    files: SHA-256 of each file, by its path in the folder.
    hash: SHA-256 of all files, class names, mean and std, and where images are encoded of the shape and the
    background that they are decoded to: what stored labels are bound to.
    """

    schema: Literal[3]
    source: str
    storage: Storage
    store_size: int | None
    decoders: dict[str, str]
    background: Colour
    jpeg_scale: int | None
    classes: tuple[str, ...]
    shapes: dict[SplitName, Shape]
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
    """images: uint8 (N, C, H, W), mapped read-only or decoded when asked for.

    labels: int64 (N,), read-only, -1 for a training image without one.
    """

    images: np.ndarray | EncodedImages
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def unlabelled(self) -> int:
        """Images without a label."""
        return int((np.asarray(self.labels) == NO_LABEL).sum())

    @property
    def aspect_N(self) -> np.ndarray | None:
        """Width : height of each stored image, as views are drawn of it; None where all are stored square."""
        if not isinstance(self.images, EncodedImages):
            return None
        width_N, height_N = self.images.sizes.T
        return width_N / height_N


@dataclass(frozen=True, eq=False)
class Prepared:
    """Three splits and what describes them.

    true_labels: train's before label noise, int64 (N,). weights: how often each of train is drawn, float64 (N,), 0 or
    more; None where all are drawn alike.
    """

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
    background: Colour = WHITE  # of image files that are transparent
    weights: np.ndarray | None = None

    @property
    def edge(self) -> int:
        """The longest short side of a stored training image in pixels."""
        images = self.train.images
        return int(images.sizes.min(axis=1).max()) if isinstance(images, EncodedImages) else self.size

    def rendering(self, input: Input | None) -> Rendering | None:
        """How a network of that input is shown images that are stored encoded; None where pixels are stored.

        input: None is that of the data: the middle, at `size`.
        """
        if not isinstance(self.train.images, EncodedImages):
            return None
        return input.rendering if input else Rendering(self.size)

    @property
    def renderer(self) -> dict[str, str] | None:
        """What decodes and resizes the images as they are shown, and its version; None where pixels are stored."""
        return renderer() if isinstance(self.train.images, EncodedImages) else None


def read_header(folder: Path) -> DataHeader:
    """What data.json of a prepared folder holds; `UserError` where it is missing, damaged, or not valid."""
    path = folder / HEADER
    try:
        return TypeAdapter(DataHeader).validate_python(read_sealed(path, SCHEMA))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "header"
        raise UserError(f"{path} has no valid {where} ({first['msg']}): delete {folder} and run `dvc repro`") from None


def shards_in_use(folder: Path) -> set[str] | None:
    """SHA-256 of each shard that a prepared folder names; None where there is no such folder, or it is damaged."""
    try:
        files = read_header(folder).files
    except UserError:
        return None
    return {found for name, found in files.items() if name.startswith(f"{SHARDS}/")}


def read(folder: Path) -> Prepared:
    """Open a prepared folder; every array is read once to compare its hash, and images stay on disk.

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
    shards = Shards(folder / SHARDS, header.files)
    return Prepared(
        train=_split(folder, header, "train", shards),
        validation=_split(folder, header, "validation", shards),
        test=_split(folder, header, "test", shards),
        true_labels=_labels(folder / TRUE_LABELS, header, "train"),
        classes=header.classes,
        mean=header.mean,
        std=header.std,
        channels=channels,
        size=size,
        hash=header.hash,
        background=header.background,
        weights=_weights(folder / WEIGHTS, header) if WEIGHTS in header.files else None,
    )


def _weights(path: Path, header: DataHeader) -> np.ndarray:
    weights_N = np.asarray(_array(path, header, np.dtype(np.float64), header.shapes["train"][:1]))
    if not (np.isfinite(weights_N) & (weights_N >= 0)).all() or not weights_N.any():
        raise UserError(f"{path} has no valid weights: delete {path.parent} and run `dvc repro`")
    return weights_N


def _split(folder: Path, header: DataHeader, split: SplitName, shards: Shards) -> Split:
    count, channels, size, _ = header.shapes[split]
    if header.storage == "pixels":
        images = _array(folder / IMAGES[split], header, np.dtype(np.uint8), header.shapes[split])
    else:
        places_N = _array(folder / ROWS[split], header, PLACE, (count,))
        images = EncodedImages(shards, places_N, channels, size, background=header.background)
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


def beside(folder: Path, name: str) -> Path | None:
    """A file that is there only where there is something to say, compared; None where the header has none.

    Raises:
        UserError: It is missing or damaged.
    """
    path, recorded = folder / name, read_header(folder).files
    if name not in recorded:
        return None
    again = f"delete {folder} and run `dvc repro`"
    try:
        verify(path, recorded[name], again)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {again}") from None
    return path
