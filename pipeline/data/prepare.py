"""From a source to the prepared folder: splits, the training subset, label noise, pixel statistics.

Every random choice has its own generator, keyed by (seed, purpose): label noise does not move the split,
and a smaller subset or less noise is part of a larger one.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.base.errors import UserError
from pipeline.base.files import digest, replacing, sha256, write_bytes, write_sealed
from pipeline.base.paths import DATA, resolve
from pipeline.config.extension import SOURCES
from pipeline.data.generator import generator
from pipeline.data.images import Images, Source
from pipeline.data.origins import Origins, write_origins
from pipeline.data.prepared import HEADER, IMAGES, LABELS, SCHEMA, SPLITS, TRUE_LABELS, DataHeader, SplitName

if TYPE_CHECKING:
    # The type only: a changed default is in the spec, not in the code that obeys it.
    from pipeline.config.data import Data

CHUNK_BYTES = 2**24  # of pixels in memory at a time
STD_FLOOR = 1e-3  # of a channel that (almost) never varies; a quarter of one grey level


def write(data: Data, seed: int, origins: bool = False) -> dict[str, Any]:
    """Prepare the images that `data` names as `artifacts/data`; its header."""
    with replacing(DATA) as folder:
        folder.mkdir()
        return prepare(data, resolve(data.root), seed, folder, origins)


def prepare(data: Data, root: Path, seed: int, out: Path, origins: bool = False) -> dict[str, Any]:
    """Write the prepared folder `out` (see `pipeline.data.prepared`) and return its header.

    root: `data.root`, resolved. seed: of the splits, the subset and the noise. origins: whether to write where each
    image came from, in a file of its own, which changes no other. Raises `UserError` for an unusable source and for a
    class with too few images.
    """
    source = load(data, root)
    names, labels = source.classes, source.labels
    train = np.arange(len(labels))
    if source.test is None:
        train, test = hold_out(train, labels, names, data.test, leave=2, seed=seed, purpose="test")
        test_images, test_labels = source.images, labels[test]
    else:
        test_images, test_labels = source.test
        test = np.arange(len(test_labels))
    train, validation = hold_out(train, labels, names, data.validation, leave=1, seed=seed, purpose="validation")
    if data.per_class is not None:
        train = subset(train, labels, names, data.per_class, seed=seed)
    noisy_labels = noisy(labels[train], len(names), data.label_noise, seed=seed)

    out.mkdir(parents=True, exist_ok=True)
    shapes: dict[SplitName, tuple[int, int, int, int]] = {
        "train": write_images(out / IMAGES["train"], source.images, train),
        "validation": write_images(out / IMAGES["validation"], source.images, validation),
        "test": write_images(out / IMAGES["test"], test_images, test),
    }
    arrays = {
        LABELS["train"]: noisy_labels,
        LABELS["validation"]: labels[validation],
        LABELS["test"]: test_labels,
        TRUE_LABELS: labels[train],
    }
    for name, array in arrays.items():
        # Through memory: numpy's own error of a full disk does not name it.
        content_bytes = io.BytesIO()
        np.save(content_bytes, array, allow_pickle=False)
        write_bytes(out / name, content_bytes.getvalue())
    mean, std = statistics(np.load(out / IMAGES["train"], mmap_mode="r"))
    content = {name: sha256(out / name) for name in (*IMAGES.values(), *arrays)}
    header = DataHeader(
        schema=SCHEMA,
        source=data.source,
        classes=names,
        shapes=shapes,
        counts={split: shapes[split][0] for split in SPLITS},
        dtype="uint8",
        mean=mean,
        std=std,
        label_noise=data.label_noise,
        relabelled=int((noisy_labels != labels[train]).sum()),
        files=content,
        hash=digest({"files": content, "classes": names, "mean": mean, "std": std}),
        unlabelled=int((noisy_labels < 0).sum()),
    )
    # Left out where all have a label, so that their data.json is as it was.
    written = {key: value for key, value in asdict(header).items() if key != "unlabelled" or value}
    write_sealed(out / HEADER, written)
    if origins:
        # A test split of its own is counted on from the other images.
        numbers = {"train": train, "validation": validation, "test": test}
        count = len(labels)
        if source.test is not None:
            numbers["test"] = test + count
            count += len(test_labels)
        write_origins(out, header.hash, Origins(numbers, count, source.paths))
    return written


def load(data: Data, root: Path) -> Source:
    """Return the source that `data.source` names, scaled to `data.size` and made grey where `data.grayscale`.

    root: `data.root`, resolved. Raises `UserError` where nothing usable lies there.
    """
    handed = SOURCES.handed(data.source, {"root": root, "size": data.size, "grayscale": data.grayscale})
    # By name, so that the stage depends on the code of its own source only.
    return importlib.import_module(f"pipeline.data.sources.{data.source}").load(*handed, **data.settings)


def hold_out(
    rows_N: np.ndarray,
    labels: np.ndarray,
    names: tuple[str, ...],
    share: float,
    *,
    leave: int,
    seed: int,
    purpose: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Split `rows_N` into (kept, held out), both sorted: of each class the rounded `share`, at least one.

    labels: of all images, int64. leave: how many of each class are kept at least. Raises `UserError` for a
    class that has not so many.
    """
    held = []
    for name, members in _shuffled_classes(rows_N, labels, names, seed, purpose):
        if len(members) <= leave:
            raise UserError(
                f"class {name!r} has too few images ({len(members)} where data.{purpose} is held out): "
                f"add some until it has {leave + 1}, one for each split, or take the class out"
            )
        held.append(members[: min(max(1, round(share * len(members))), len(members) - leave)])
    held_out = np.sort(np.concatenate(held))
    return np.setdiff1d(rows_N, held_out), held_out


def subset(rows_N: np.ndarray, labels: np.ndarray, names: tuple[str, ...], per_class: int, *, seed: int) -> np.ndarray:
    """Return `per_class` of `rows_N` from each class, sorted; a smaller subset is part of a larger one.

    labels: of all images, int64. Raises `UserError` for a class that has fewer.
    """
    kept = []
    for name, members in _shuffled_classes(rows_N, labels, names, seed, "per_class"):
        if len(members) < per_class:
            raise UserError(
                f"data.per_class asks for {per_class} training images a class and class {name!r} has "
                f"{len(members)} left after the splits: set it to {len(members)} or less, or to null for all"
            )
        kept.append(members[:per_class])
    return np.sort(np.concatenate(kept))


def noisy(labels_N: np.ndarray, classes: int, share: float, *, seed: int) -> np.ndarray:
    """Return a copy of `labels_N` where exactly round(share * N) rows have another class, drawn uniformly.

    N are those with a label: one without (-1) stays without.
    """
    draw = generator(seed, "label_noise")
    labelled = np.flatnonzero(labels_N >= 0)
    chosen = draw.permutation(len(labelled))[: round(share * len(labelled))]
    away = draw.integers(1, classes, len(labelled))
    changed_N, rows = labels_N.copy(), labelled[chosen]
    changed_N[rows] = (labels_N[rows] + away[chosen]) % classes
    return changed_N


def write_images(path: Path, images: Images, rows_N: np.ndarray) -> tuple[int, int, int, int]:
    """Write those rows as uint8 (N, C, H, W) in the .npy format, a chunk at a time; return that shape.

    Written rather than filled through a memory map, where a full disk would end the process without a word.
    """
    shape = (len(rows_N), *images.shape[1:])
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for chunk in _chunks(shape):
            file.write(np.ascontiguousarray(images[rows_N[chunk]]).data)
    return shape


def statistics(images_NCHW: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of uint8 pixels / 255 per channel, a chunk at a time.

    Computed from counts of the 256 values in whole numbers, so that neither chunks nor rounding show.
    A deviation below `STD_FLOOR` is raised to it: normalising divides by it.
    """
    counts_CP = np.zeros((images_NCHW.shape[1], 256), dtype=np.int64)
    for chunk in _chunks(images_NCHW.shape):
        for counts_P, values in zip(counts_CP, images_NCHW[chunk].swapaxes(0, 1), strict=True):
            counts_P += np.bincount(values.ravel(), minlength=256)
    mean, std = [], []
    for counts_P in counts_CP.tolist():
        number = sum(counts_P)
        total = sum(value * count for value, count in enumerate(counts_P))
        squares = sum(value * value * count for value, count in enumerate(counts_P))
        mean.append(total / number / 255)
        std.append(max((number * squares - total * total) ** 0.5 / number / 255, STD_FLOOR))
    return tuple(mean), tuple(std)


def _shuffled_classes(
    rows_N: np.ndarray, labels: np.ndarray, names: tuple[str, ...], seed: int, purpose: str
) -> Iterator[tuple[str, np.ndarray]]:
    """Each class with its rows in an order of its own, so that one class does not move another's choice."""
    for label, name in enumerate(names):
        yield name, generator(seed, purpose, name).permutation(rows_N[labels[rows_N] == label])


def _chunks(shape: tuple[int, ...]) -> Iterator[slice]:
    count, *image = shape
    step = max(1, CHUNK_BYTES // int(np.prod(image)))
    return (slice(start, start + step) for start in range(0, count, step))
