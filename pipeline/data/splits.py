"""Which images train, validate and test: decided by a hash of what they are, never by where they lie.

Rows of equal bytes, or of one group, are one *unit*, transitively: no unit is divided. Its id is its group (the least,
where it has several), else the SHA-256 of its bytes. It belongs to the class of most of its rows, to the first of those
that are equal. Within a class units are ranked by SHA-256(seed, id) and cut at unit borders: test, validation, and the
rest trains. So a folder that is renamed changes nothing, and one more image moves one unit at most across each border.

The rows of splits that a source has itself stay where it has them. A subset is the end of the ranking, and noise goes
by a hash of its own: what fewer images, or less noise, change is part of what more change.

Rows without a label all train, and count for no class, no border, no subset and no noise; those of a unit that is held
out are in no split.

Legend: N rows, U units, C classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.base.errors import UserError
from pipeline.config.effect import text
from pipeline.data.images import names_of
from pipeline.data.names import NO_LABEL, SPLITS, SplitName, some

if TYPE_CHECKING:
    from pipeline.config.data import Data
    from pipeline.data.images import Source

ID = 32  # bytes of a SHA-256
HELD_OUT: tuple[SplitName, ...] = ("test", "validation")  # in the order of the ranking


@dataclass(frozen=True, eq=False)
class Chosen:
    """rows: of each split, int64, sorted. labels, true_labels: of those that train, with noise and without, int64;
    `NO_LABEL` where there is none. units: of those that validate, uint64, alike within one unit; None without groups.
    """

    rows: Mapping[SplitName, np.ndarray]
    labels: np.ndarray
    true_labels: np.ndarray
    units: np.ndarray | None


@dataclass(frozen=True, eq=False)
class SplitUnits:
    """Rows that no split divides.

    of_N: the unit of each row, int64 (N,). label_U, size_U: class of each, and its rows with a label, int64 (U,);
    `NO_LABEL` and 0 where none of its rows has one. rank_U4: what ranks it, uint64 (U, 4).
    """

    of_N: np.ndarray
    label_U: np.ndarray
    size_U: np.ndarray
    rank_U4: np.ndarray


def choose(source: Source, ids_N: np.ndarray, data: Data, seed: int, left_out: Sequence[int] = ()) -> Chosen:
    """Divide the rows of a source, take a subset, and replace labels.

    Args:
        source: Its labels, splits and groups; no image is read.
        ids_N: SHA-256 of the bytes of each image, uint8 (N, 32).
        data: `test`, `validation`, `per_class` and `label_noise`.
        left_out: Rows that belong to no split.

    Raises:
        UserError: A class has too few images, or a key has no effect beside splits that the source has itself.
    """
    usable_N = np.ones(len(ids_N), dtype=bool)
    usable_N[list(left_out)] = False
    check_labels(source)
    own = own_splits(source, usable_N)
    check_shares(data, own)
    pool = own.pop("train")
    units = unite(pool, source.labels, ids_N, source.groups, seed)
    shares: dict[SplitName, float] = {split: getattr(data, split) for split in HELD_OUT if split not in own}
    rows: dict[SplitName, np.ndarray] = {**own, **divide(pool, units, source.classes, shares)}
    if (source.labels[pool] == NO_LABEL).any():
        rows = _apart(rows, source, ids_N, seed)
    _check_classes(rows, source.labels, source.classes)
    if data.per_class is not None:
        rows["train"] = subset(rows["train"], pool, units, source, data.per_class)
    true_labels = source.labels[rows["train"]]
    labels = noisy(true_labels, ids_N[rows["train"]], len(source.classes), data.label_noise, seed)
    numbers = None
    if source.groups is not None:
        held = unite(rows["validation"], source.labels, ids_N, source.groups, seed)
        numbers = held.rank_U4[held.of_N, 0].astype(np.uint64)  # a hash, which tells them apart wherever they lie
    return Chosen({split: rows[split] for split in SPLITS}, labels, true_labels, numbers)


def check_labels(source: Source) -> None:
    """Refuse labels that leave nothing to learn, or nothing to measure by.

    Raises:
        UserError: There are fewer than two classes, or an image that is to validate or to test has no label.
    """
    bare = np.flatnonzero(source.labels == NO_LABEL)
    if (count := len(source.classes)) < 2:
        only = f"one class only, {source.classes[0]!r}" if count else "no class"
        empty = f", and {len(bare):,} images have none (a label that is empty, null or -1 names none)"
        raise UserError(f"the labels name {only}{empty if len(bare) else ''}: two classes are the least")
    if source.splits is None:
        return
    if wrong := [row for row in bare.tolist() if source.splits[row] != "train"]:
        names = names_of(source.images)
        shown = some(names[row] if names else f"image {row}" for row in wrong)
        where = " and ".join(sorted({source.splits[row] for row in wrong}))
        raise UserError(
            f"{len(wrong):,} images in {where} have no label, and only images of train can do without: {shown}: label "
            "them, or let them train"
        )


def own_splits(source: Source, usable_N: np.ndarray) -> dict[SplitName, np.ndarray]:
    """The rows of each split that the source has itself, sorted; all that can be used are `train` where it has none."""
    if source.splits is None:
        return {"train": np.flatnonzero(usable_N)}
    split_N = np.array([SPLITS.index(split) for split in source.splits], dtype=np.int64)
    found: dict[SplitName, np.ndarray] = {
        split: np.flatnonzero(usable_N & (split_N == place)) for place, split in enumerate(SPLITS)
    }
    if not len(found["train"]):
        raise UserError("the data have splits of their own and no image in train: name the images to train with")
    return {split: rows for split, rows in found.items() if split == "train" or (split_N == SPLITS.index(split)).any()}


def check_shares(data: Data, own: Mapping[SplitName, object]) -> None:
    """Refuse a share of what is not held out, unless it stands at its default."""
    for split in HELD_OUT:
        if split in own and getattr(data, split) != (default := type(data).model_fields[split].default):
            raise UserError(
                f"params.yaml: data.{split} has no effect where the data have {split} images of their own: "
                f"set it to {text(default)}, its default, or leave it out"
            )


def unite(
    pool: np.ndarray, labels_N: np.ndarray, ids_N: np.ndarray, groups: Sequence[str | None] | None, seed: int
) -> SplitUnits:
    """The units of the rows `pool`; in their `of_N` position i is of row pool[i]."""
    contents, content_N = np.unique(np.ascontiguousarray(ids_N[pool]).view(f"V{ID}").ravel(), return_inverse=True)
    named: list[str | None] = [None] * len(pool) if groups is None else [groups[row] for row in pool.tolist()]
    root_of = _united(len(contents), content_N.tolist(), named)
    roots, of_N = np.unique(root_of[content_N], return_inverse=True)
    keys = [b"bytes:" + contents[root].tobytes() for root in roots.tolist()]
    least: dict[int, str] = {}
    for unit, group in zip(of_N.tolist(), named, strict=True):
        if group is not None:
            least[unit] = min(group, least.get(unit, group))
    for unit, group in least.items():
        keys[unit] = b"group:" + group.encode(errors="surrogateescape")
    ranks = b"".join(_hash(seed, "split", key) for key in keys)
    classes = int(labels_N.max()) + 1
    known_N = labels_N[pool] != NO_LABEL
    pairs, counts = np.unique((of_N * classes + labels_N[pool])[known_N], return_counts=True)
    # The last of each unit: of most rows, and of the first class among equals.
    order = np.lexsort((-(pairs % classes), counts, pairs // classes))
    unit_sorted = pairs[order] // classes
    last = np.flatnonzero(np.append(unit_sorted[1:] != unit_sorted[:-1], True)[: len(pairs)])
    label_U = np.full(len(roots), NO_LABEL, dtype=np.int64)
    label_U[unit_sorted[last]] = pairs[order][last] % classes
    return SplitUnits(
        of_N,
        label_U,
        np.bincount(of_N[known_N], minlength=len(roots)),
        np.frombuffer(ranks, dtype=">u8").reshape(-1, ID // 8),
    )


def _united(count: int, content_N: list[int], groups: list[str | None]) -> np.ndarray:
    """Of each content the one that stands for all that groups unite it with, int64 (count,)."""
    parent = list(range(count))

    def root(content: int) -> int:
        while parent[content] != content:
            parent[content] = content = parent[parent[content]]
        return content

    first: dict[str, int] = {}
    for content, group in zip(content_N, groups, strict=True):
        if group is not None:
            one, other = root(content), root(first.setdefault(group, content))
            parent[max(one, other)] = min(one, other)
    return np.array([root(content) for content in range(count)], dtype=np.int64)


def divide(
    pool: np.ndarray, units: SplitUnits, classes: Sequence[str], shares: Mapping[SplitName, float]
) -> dict[SplitName, np.ndarray]:
    """The rows of `pool` that are held out, and `train`, which is what is left; sorted.

    shares: of what is left by those before, each above 0 and below 1. Each class has a unit in each split.
    """
    if not shares:
        return {"train": pool}
    place_U = np.full(len(units.size_U), len(shares), dtype=np.int64)
    targets, left = [], 1.0
    for share in shares.values():
        left *= 1 - share
        targets.append(1 - left)
    for label, name in enumerate(classes):
        members = np.flatnonzero(units.label_U == label)
        if len(members) <= len(shares):
            raise UserError(_too_few(name, members, units, shares))
        members = members[np.lexsort(units.rank_U4[members].T[::-1])]
        ends = borders(units.size_U[members], targets)
        place_U[members] = np.searchsorted(ends, np.arange(len(members)), side="right")
    place_N = place_U[units.of_N]
    return {split: pool[place_N == place] for place, split in enumerate((*shares, "train"))}


def borders(size_U: np.ndarray, targets: Sequence[float]) -> list[int]:
    """How many units lie before each border: those whose middle lies before that share of all images.

    size_U: images of each, in their order. targets: shares, rising. At least one unit lies between two borders, before
    the first and after the last.
    """
    middle_U = 2 * np.cumsum(size_U) - size_U  # doubled, to stay whole numbers
    ends = []
    for number, target in enumerate(targets):
        end = int((middle_U < 2 * target * size_U.sum()).sum())
        least = ends[-1] + 1 if ends else 1
        ends.append(min(max(end, least), len(size_U) - len(targets) + number))
    return ends


def subset(train: np.ndarray, pool: np.ndarray, units: SplitUnits, source: Source, per_class: int) -> np.ndarray:
    """`per_class` rows of each class of those that train, and all without a label, sorted.

    Those that rank last, so that no border moves them.

    Raises:
        UserError: A class has fewer.
    """
    rank_N4 = units.rank_U4[units.of_N[np.searchsorted(pool, train)]]
    # Copies have one rank, and then the order of the source.
    order = train[np.lexsort((train, *rank_N4.T[::-1]))]
    kept = [order[source.labels[order] == NO_LABEL]]
    for label, name in enumerate(source.classes):
        members = order[source.labels[order] == label]
        if len(members) < per_class:
            raise UserError(
                f"data.per_class asks for {per_class} training images a class and class {name!r} has "
                f"{len(members)} left after the splits: set it to {len(members)} or less, or to null for all"
            )
        kept.append(members[-per_class:])
    return np.sort(np.concatenate(kept))


def noisy(labels_N: np.ndarray, ids_N: np.ndarray, classes: int, share: float, seed: int) -> np.ndarray:
    """A copy of `labels_N` where exactly round(share * M) of the M labels are another class, each as probable.

    ids_N: SHA-256 of each image, uint8 (N, 32), which alone decides its turn and its other class.
    """
    known_M = np.flatnonzero(labels_N != NO_LABEL)
    hashes = b"".join(_hash(seed, "noise", each.tobytes()) for each in ids_N[known_M])
    draw_M4 = np.frombuffer(hashes, dtype=">u8").reshape(-1, ID // 8)
    chosen = np.lexsort((draw_M4[:, 1], draw_M4[:, 0]))[: round(share * len(known_M))]
    away_M = 1 + (draw_M4[:, 3] % (classes - 1)).astype(np.int64)
    changed_N = labels_N.copy()
    changed_N[known_M[chosen]] = (labels_N[known_M[chosen]] + away_M[chosen]) % classes
    return changed_N


def _apart(
    rows: Mapping[SplitName, np.ndarray], source: Source, ids_N: np.ndarray, seed: int
) -> dict[SplitName, np.ndarray]:
    """The rows of each split, without those that have no label and whose unit has an image that validates or tests.

    Splits that the source has itself count, too; a row with a label stays where the source has it.
    """
    every = np.sort(np.concatenate([*rows.values()]))
    units = unite(every, source.labels, ids_N, source.groups, seed)
    is_held_U = np.zeros(len(units.size_U), dtype=bool)
    for split in HELD_OUT:
        is_held_U[units.of_N[np.searchsorted(every, rows[split])]] = True
    stays_N = (source.labels[every] != NO_LABEL) | ~is_held_U[units.of_N]
    return {split: found[stays_N[np.searchsorted(every, found)]] for split, found in rows.items()}


def _hash(seed: int, purpose: str, key: bytes) -> bytes:
    return hashlib.sha256(f"{seed}:{purpose}:".encode() + key).digest()


def _check_classes(rows: Mapping[SplitName, np.ndarray], labels_N: np.ndarray, classes: Sequence[str]) -> None:
    for split, rows_N in rows.items():
        if missing := sorted({*range(len(classes))} - {*np.unique(labels_N[rows_N]).tolist()}):
            names = some(repr(classes[label]) for label in missing)
            raise UserError(f"no image in {split} has the class {names}: each split needs images of each class")


def _too_few(name: str, members: np.ndarray, units: SplitUnits, shares: Mapping[SplitName, float]) -> str:
    images, need = int(units.size_U[members].sum()), len(shares) + 1
    many = f"{images}, which are {len(members)} where copies and groups count once" if images > len(members) else images
    held = " and ".join(f"data.{split}" for split in shares)
    return (
        f"class {name!r} has too few images ({many}; {held} {'are' if len(shares) > 1 else 'is'} held out): add some "
        f"until it has {need}, one for each split, or take the class out"
    )
