"""Answers of a teacher that ran elsewhere: a file of logits or probabilities, one row an image or a view of one.

`answers.npz` (numpy) or `answers.parquet` holds, by name:

path or number   R   which image: its path below `data.root`, or its number in the source, from 0; those of a test split
                     of the source's own are counted on
view             R   0 the clean image, v our view v of it; without it all are clean
logits or        R C float
probabilities
classes          C   names in that order; without them the order is the data's. Of Parquet: JSON in the metadata
view_spec        -   of a file with views: which views those are, JSON as `our_views` has it. Of Parquet: metadata

The file may come from a stranger: no pickle is run, and nothing in it is believed before it was compared. It is mapped
and read a piece at a time: a file that is larger than the memory is taken.

Legend: R rows of the file, N images of a split, B batch, V views beside the clean one, C classes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.base.errors import UserError
from pipeline.data.names import nfc
from pipeline.data.origins import Origins
from pipeline.labels.columns import Columns

NAMED = 10  # rows that a message names
AT_ONCE = 4096  # rows that are in memory together
OFF_ONE = 0.02  # by how much probabilities may miss 1 in all: those of float16 and of many classes do
ENOUGH = 8  # rows of which all being probabilities is no chance
SMALLEST = float(np.finfo(np.float32).tiny)  # a probability below it has the logit of this one


@dataclass(frozen=True, eq=False)
class Answers:
    """A file's answers to all images.

    Attributes:
        columns: What the file holds.
        classes: For each class of the data its column, int64 (C,).
        train: Rows of views 0 .. V of the training images, int64 (V + 1, N); one view where there is but the clean one.
        clean: split -> rows of its clean images, int64 (N,); validation and test.
        unused: Rows that nobody asks for.
        left_out: Classes of the file that are none of the data.
    """

    columns: Columns
    classes: np.ndarray
    train: np.ndarray
    clean: Mapping[str, np.ndarray]
    unused: int
    left_out: int

    def rows(self, v: int, rows_B: np.ndarray) -> Tensor:
        """Logits of some training images in view `v`, float32 (B, C): of the clean ones where there is no other."""
        return self._logits(self.train[v if len(self.train) > 1 else 0][rows_B])

    def split(self, name: str) -> Tensor:
        """Logits of the clean images of a split, float32 (N, C)."""
        return self._logits(self.clean[name])

    def _logits(self, rows_B: np.ndarray) -> Tensor:
        whole_BC = torch.empty(len(rows_B), len(self.classes))
        for piece in _pieces(len(rows_B)):
            found_BC = _logits(self.columns.values[rows_B[piece]], self.columns.kind)
            whole_BC[piece] = torch.from_numpy(found_BC[:, self.classes])
        return whole_BC


def match(
    columns: Columns, origins: Origins, classes: Sequence[str], views: int, view_spec: Mapping[str, Any], where: str
) -> Answers:
    """Find the row of each prepared image, and of each of its views 1 .. `views`.

    view_spec: as of `our_views`. where: names the file and its key in messages.

    Raises:
        UserError: A row is missing, unknown, doubled or not finite; classes or views are others than ours.
    """
    if views:
        _check_views(columns, view_spec, where)
    chosen, left_out = _columns_of(columns, classes, where)
    number_R = _numbers(columns, origins, where)
    view_R = columns.view if columns.view is not None else np.zeros(len(number_R), np.int64)
    _check_kind(columns, where)
    known_R = (number_R >= 0) & (view_R >= 0)
    # One number an image and view: views of the file beyond ours have theirs, too.
    stride = int(max(view_R.max(initial=0), views)) + 1
    key_R = np.where(known_R, number_R * stride + view_R, -1)
    sorted_R = np.argsort(key_R, kind="stable")
    keys_R = key_R[sorted_R]
    again = sorted_R[1:][(keys_R[1:] == keys_R[:-1]) & (keys_R[1:] >= 0)]

    def rows_of(numbers_N: np.ndarray, v: int) -> np.ndarray:
        """The row of each image in a view; -1 where there is none."""
        wanted_N = numbers_N * stride + v
        at_N = np.searchsorted(keys_R, wanted_N).clip(max=max(len(keys_R) - 1, 0))
        if not len(keys_R):
            return np.full(len(numbers_N), -1)
        return np.where(keys_R[at_N] == wanted_N, sorted_R[at_N], -1)

    train = np.stack([rows_of(origins.rows["train"], v) for v in range(views + 1)])
    clean = {split: rows_of(origins.rows[split], 0) for split in ("validation", "test")}
    missing = [
        _name(origins, number, v if views else None)
        for split, found in (("train", train), *((split, each[None]) for split, each in clean.items()))
        for v, number in _where_missing(found, origins.rows[split])
    ]
    wrong_R = np.concatenate(
        [~np.isfinite(_logits(columns.values[piece], columns.kind)).all(1) for piece in _pieces(len(number_R))]
    )
    faults = {
        "missing": missing,
        "unknown": [columns.name(int(row)) for row in np.flatnonzero(~known_R)],
        "doubled": [columns.name(int(row)) for row in again],
        "not finite": [columns.name(int(row)) for row in np.flatnonzero(wrong_R)],
    }
    if found := [f"{len(names):,} {fault} ({_listed(names)})" for fault, names in faults.items() if names]:
        raise UserError(f"{where} does not answer each image once: {', '.join(found)}; {_keys(origins)}")
    used = np.unique(np.concatenate([train.ravel(), *clean.values()]))
    return Answers(columns, chosen, train, clean, len(key_R) - len(used), left_out)


def our_views(described: Mapping[str, Any], data_hash: str) -> dict[str, Any]:
    """What decides our views, pixel by pixel: the drawings, as of `pipeline.data.views.describe`, and the images."""
    return {"data": data_hash, **described}


def _check_views(columns: Columns, ours: Mapping[str, Any], where: str) -> None:
    if columns.view is None:
        raise UserError(
            f"{where} has no `view`, and teacher.answers.for_views is own: add it, or set for_views to clean"
        )
    try:
        theirs = json.loads(columns.view_spec or "null")
    except (ValueError, RecursionError):
        theirs = None
    if not isinstance(theirs, dict):
        raise UserError(
            f"{where} does not say in `view_spec` of which views its answers are: "
            f"answer ours, and write {json.dumps(dict(ours))}"
        )
    for key in sorted(ours.keys() | theirs.keys()):
        if theirs.get(key) != ours.get(key):
            raise UserError(
                f"{where} answers other views ({key} is {theirs.get(key)!r}, here {ours.get(key)!r}): answer ours"
            )


def _columns_of(columns: Columns, classes: Sequence[str], where: str) -> tuple[np.ndarray, int]:
    """For each class of the data its column in the file, and how many columns are of no class of the data."""
    count = columns.values.shape[1]
    return order_of(columns.classes, classes, count, where)


def order_of(named: Sequence[str] | None, classes: Sequence[str], count: int, where: str) -> tuple[np.ndarray, int]:
    """For each class of the data its column among `count`, and how many columns are of no class of the data.

    named: the classes of the columns; None where their order is the data's.

    Raises:
        UserError: There are not as many names, or one of ours is not among them, or one stands there twice.
    """
    if named is None:
        if count != len(classes):
            raise UserError(
                f"{where} gives {count} numbers a row and the data have {len(classes)} classes: name its classes, so "
                "that ours can be found among them, or give as many"
            )
        return np.arange(count), 0
    if len(named) != count:
        raise UserError(f"{where} names {len(named)} classes and gives {count} numbers a row: name each of them")
    place = {name: column for column, name in enumerate(named)}
    if len(place) < count:
        twice = next(name for column, name in enumerate(named) if place[name] != column)
        raise UserError(f"{where} names the class {twice!r} twice: a class has one column")
    missing = [name for name in classes if name not in place]
    if len(missing) == len(classes):
        raise UserError(
            f"{where} names no class of the data: it has {_listed(map(repr, named))}, "
            f"the data {_listed(map(repr, classes))}"
        )
    if missing:
        raise UserError(
            f"{where} lacks {len(missing)} of the classes of the data ({_listed(map(repr, missing))}): add them"
        )
    return np.array([place[name] for name in classes]), count - len(classes)


def _numbers(columns: Columns, origins: Origins, where: str) -> np.ndarray:
    """The number in the source that each row is of, int64 (R,); -1 where the source has no such image."""
    if columns.number is not None:
        number_R = columns.number
        return np.where((number_R >= 0) & (number_R < origins.count), number_R, -1)
    assert columns.path is not None
    if origins.paths is None:
        raise UserError(f"{where} names images by `path`, and those of this source are no files: name them by `number`")
    place = {nfc(path): number for number, path in enumerate(origins.paths)}
    return np.array([place.get(nfc(path), -1) for path in columns.path], dtype=np.int64)


def _check_kind(columns: Columns, where: str) -> None:
    wrong = probability_fault(columns.values, columns.kind)
    if wrong is not None:
        row, why = wrong
        raise UserError(
            f"{where} has {columns.kind} {why} in the row of {columns.name(row)}: {_REMEDIES[columns.kind]}"
        )


def _logits(values_BC: np.ndarray, kind: str) -> np.ndarray:
    """Float32 logits (B, C). Not finite where the file's are not, which `match` names."""
    if kind == "probabilities":
        return log_probabilities(values_BC)
    with np.errstate(over="ignore"):  # what float32 does not hold is named as not finite
        return np.require(values_BC, np.float32, ["C", "W"])


def _pieces(count: int) -> Iterator[slice]:
    """Of so many rows, those that are looked at together; at least one piece."""
    return (slice(start, min(start + AT_ONCE, count)) for start in range(0, max(count, 1), AT_ONCE))


_REMEDIES = {
    "probabilities": "call them logits where they are some",
    "logits": "call them probabilities, as a logit is any number",
}


def probability_fault(values: np.ndarray, kind: str) -> tuple[int, str] | None:
    """A row, and why its values are not of that kind; None where they may be. Rows that are not finite do not count.

    Logits that are all probabilities are refused, since they would teach next to nothing, and without a word.
    """
    finite_R, whole_R = np.empty((2, len(values)), bool)
    for piece in _pieces(len(values)):
        part = values[piece]
        finite_R[piece] = np.isfinite(part).all(1)
        whole_R[piece] = (part >= 0).all(1) & (np.abs(part.sum(1, dtype=np.float64) - 1) <= OFF_ONE)
    if kind == "probabilities":
        wrong = np.flatnonzero(finite_R & ~whole_R)
        return (int(wrong[0]), "that are not 0 or more and 1 in all") if len(wrong) else None
    if finite_R.sum() >= ENOUGH and values.shape[1] > 1 and whole_R[finite_R].all():
        return int(np.flatnonzero(finite_R)[0]), "that are 0 or more and 1 in all, as in all others,"
    return None


def log_probabilities(values: np.ndarray) -> np.ndarray:
    """Float32 logits of probabilities: their logarithms; of 0 that of the smallest normal float32."""
    with np.errstate(invalid="ignore"):
        return np.log(np.maximum(values.astype(np.float64), SMALLEST)).astype(np.float32)


def _where_missing(found: np.ndarray, numbers_N: np.ndarray) -> Iterable[tuple[int, int]]:
    """(view, number) of each image without a row."""
    return ((int(v), int(numbers_N[at])) for v, at in np.argwhere(found < 0))


def _name(origins: Origins, number: int, view: int | None) -> str:
    return origins.name(number) + (f" view {view}" if view is not None else "")


def _listed(names: Iterable[str]) -> str:
    """The first ten."""
    every = [*names]
    return ", ".join(every[:NAMED]) + (", …" if len(every) > NAMED else "")


def _keys(origins: Origins) -> str:
    if origins.paths:
        return f"a path is one below data.root, such as {origins.paths[0]!r}, a number one of 0 to {origins.count - 1}"
    return f"an image's number is one of 0 to {origins.count - 1}, in the order of the source"
