"""From a source to the prepared folder: splits, the training subset, label noise, pixel statistics.

Every random choice has its own generator, keyed by (seed, purpose): label noise does not move the split,
and a smaller subset or less noise is part of a larger one.
"""

from __future__ import annotations

import hashlib
import importlib
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.base.errors import UserError
from pipeline.base.files import digest, replacing, sha256, write_bytes, write_sealed
from pipeline.base.paths import DATA, resolve
from pipeline.config.extension import SOURCES
from pipeline.data.ahead import cores, in_order
from pipeline.data.generator import generator
from pipeline.data.images import Files, Images, Source, is_files
from pipeline.data.origins import Origins, write_origins
from pipeline.data.prepared import HEADER, LABELS, SCHEMA, SPLITS, TRUE_LABELS, DataHeader, SplitName
from pipeline.data.writing import Keeping, Unreadable, write_splits

if TYPE_CHECKING:
    # The type only: a changed default is in the spec, not in the code that obeys it.
    from pipeline.config.data import Data


NAMED = 10  # unreadable files, of which a message tells the names


def write(data: Data, seed: int, origins: bool = False, keeping: Keeping | None = None) -> dict[str, Any]:
    """Prepare the images that `data` names as `artifacts/data`; its header."""
    with replacing(DATA) as folder:
        folder.mkdir()
        return prepare(data, resolve(data.root), seed, folder, origins, keeping)


def prepare(
    data: Data, root: Path, seed: int, out: Path, origins: bool = False, keeping: Keeping | None = None
) -> dict[str, Any]:
    """Write the prepared folder `out` (see `pipeline.data.prepared`) and return its header.

    root: `data.root`, resolved. seed: of the splits, the subset and the noise. origins: whether to write where each
    image came from, in a file of its own, which changes no other. keeping: where encoded images are kept. Raises
    `UserError` for an unusable source and for a class with too few images.
    """
    source = load(data, root)
    names, labels = source.classes, source.labels
    train = np.arange(len(labels))
    if source.test is None:
        train, test = hold_out(train, labels, names, data.test, leave=2, seed=seed, purpose="test")
        images, test_labels = source.images, labels[test]
    else:
        test_images, test_labels = source.test
        images = joined(source.images, test_images, len(labels))
        test = np.arange(len(test_labels)) + len(labels)
    train, validation = hold_out(train, labels, names, data.validation, leave=1, seed=seed, purpose="validation")
    if data.per_class is not None:
        train = subset(train, labels, names, data.per_class, seed=seed)
    noisy_labels = noisy(labels[train], len(names), data.label_noise, seed=seed)

    out.mkdir(parents=True, exist_ok=True)
    rows: dict[SplitName, np.ndarray] = {"train": train, "validation": validation, "test": test}
    try:
        written = write_splits(out, images, rows, content_ids(images), data, keeping)
    except Unreadable as error:
        raise UserError(unreadable(error, images, root)) from None
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
    content = written.files | {name: sha256(out / name) for name in arrays}
    bound = {"files": content, "classes": names, "mean": written.mean, "std": written.std}
    if written.storage == "encoded":
        bound["decoded to"] = written.shapes["train"][1:]
    header = DataHeader(
        schema=SCHEMA,
        source=data.source,
        storage=written.storage,
        store_size=written.store_size,
        decoders=written.decoders,
        classes=names,
        shapes=written.shapes,
        counts={split: written.shapes[split][0] for split in SPLITS},
        dtype="uint8",
        mean=written.mean,
        std=written.std,
        label_noise=data.label_noise,
        relabelled=int((noisy_labels != labels[train]).sum()),
        files=content,
        hash=digest(bound),
    )
    write_sealed(out / HEADER, asdict(header))
    if origins:
        count = len(labels) if source.test is None else len(labels) + len(test)
        write_origins(out, header.hash, Origins({**rows}, count, source.paths))
    return asdict(header)


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
    """Return a copy of `labels_N` where exactly round(share * N) rows have another class, drawn uniformly."""
    draw = generator(seed, "label_noise")
    chosen = draw.permutation(len(labels_N))[: round(share * len(labels_N))]
    away_N = draw.integers(1, classes, len(labels_N))
    changed_N = labels_N.copy()
    changed_N[chosen] = (labels_N[chosen] + away_N[chosen]) % classes
    return changed_N


def _shuffled_classes(
    rows_N: np.ndarray, labels: np.ndarray, names: tuple[str, ...], seed: int, purpose: str
) -> Iterator[tuple[str, np.ndarray]]:
    """Each class with its rows in an order of its own, so that one class does not move another's choice."""
    for label, name in enumerate(names):
        yield name, generator(seed, purpose, name).permutation(rows_N[labels[rows_N] == label])


@dataclass(frozen=True)
class Joined:
    """Images of a source, and after them those of its own test split."""

    first: Images
    second: Images
    count: int  # of the first

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of one after the other."""
        number, *image = self.second.shape
        return self.count + number, image[0], image[1], image[2]

    def __getitem__(self, rows_B: np.ndarray, /) -> np.ndarray:
        """Rows of which all lie in one of the two."""
        later = rows_B.min() >= self.count
        return (self.second if later else self.first)[rows_B - self.count * int(later)]


@dataclass(frozen=True)
class JoinedFiles:
    """As `Joined`, of files."""

    first: Files
    second: Files
    names: tuple[str, ...]  # of one after the other

    def read(self, row: int) -> bytes:
        """A file of either."""
        count = len(self.first.names)
        return self.first.read(row) if row < count else self.second.read(row - count)


def joined(first: Images | Files, second: Images | Files, count: int) -> Images | Files:
    """All images of a source that has a test split of its own, the `count` others first."""
    if is_files(first) and is_files(second):
        return JoinedFiles(first, second, (*first.names, *second.names))
    assert not is_files(first) and not is_files(second)
    return Joined(first, second, count)


def content_ids(images: Images | Files) -> list[str]:
    """SHA-256 of each file; of what is an array nobody asks for them."""
    if not is_files(images):
        return []
    hashes = in_order(lambda row: hashlib.sha256(images.read(row)).hexdigest(), range(len(images.names)), cores())
    return [*hashes]


def unreadable(error: Unreadable, images: Images | Files, root: Path) -> str:
    """Which files cannot be decoded, in one sentence."""
    assert is_files(images)
    named = [f"{root / images.names[row]}" for row, _ in error.found[:NAMED]]
    why = [why for _, why in error.found[:NAMED]]
    if len(named) == 1:
        return f"{named[0]} under data.root is no readable image ({why[0]}): replace it or take it out"
    each = ", ".join(f"{name} ({why})" for name, why in zip(named, why, strict=True))
    more = f" and {len(error.found) - NAMED} more" if error.found[NAMED:] else ""
    return f"{each}{more} under data.root are no readable images: replace them or take them out"
