"""What is said of images before they are used: what is left out, and what looks like a mistake.

Legend: N rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from pipeline.data.examine import DARK, Examined
from pipeline.data.images import Source, names_of
from pipeline.data.names import NO_LABEL, SHOWN, LeftOut, SplitName, some
from pipeline.data.splits import ID


def left_out(source: Source, examined: Examined, rows: Mapping[SplitName, np.ndarray]) -> Iterator[str]:
    """What no network is shown, how much of it and why, a sentence each. rows: of each split, as they are used."""
    yield from source.left_out
    names = _Names(source)
    unread = LeftOut()
    for row, why in examined.faults.items():
        unread.add(why, names.of(row))
    yield from (f"unreadable: {sentence}" for sentence in unread.sentences())
    out = np.setdiff1d(_unlabelled(source, examined), rows["train"])
    if len(out):
        yield (
            f"{_images(len(out))} without a label and left out of training, with the bytes or in the group of images "
            f"that validate or test: {names.some(out)}"
        )


def remarks(source: Source, examined: Examined, rows: Mapping[SplitName, np.ndarray]) -> Iterator[str]:
    """What else a person should know; none of it changes a result. rows: of each split, as they are used."""
    names = _Names(source)
    trained = np.intersect1d(_unlabelled(source, examined), rows["train"])
    if len(trained):
        many = "1 image trains" if len(trained) == 1 else f"{len(trained):,} images train"
        yield f"{many} without a label, on what a teacher says of them: {names.some(trained)}"
    yield from _never_drawn(source, rows, names)
    yield from _odd(examined, names)
    yield from _copies(source, examined, rows, names)
    yield from _parted_groups(source, rows)


def _unlabelled(source: Source, examined: Examined) -> np.ndarray:
    """The rows without a label that can be read."""
    return np.setdiff1d(np.flatnonzero(source.labels == NO_LABEL), [*examined.faults])


def _never_drawn(source: Source, rows: Mapping[SplitName, np.ndarray], names: _Names) -> Iterator[str]:
    """Images of train that nothing learns from."""
    if source.weights is not None and len(still := rows["train"][source.weights[rows["train"]] == 0]):
        yield f"{_images(len(still))} in train with the weight 0, and nothing learns from them: {names.some(still)}"


def _odd(examined: Examined, names: _Names) -> Iterator[str]:
    read_N = np.ones(len(examined.ids), dtype=bool)
    read_N[[*examined.faults]] = False
    for what, odd_N in (
        ("of one colour all over", examined.flat),
        (f"nearly black (a mean below {DARK} of 255)", examined.dark & ~examined.flat),
    ):
        if len(found := np.flatnonzero(odd_N & read_N)):
            yield f"{_images(len(found))} {what}: {names.some(found)}"


def _copies(source: Source, examined: Examined, rows: Mapping[SplitName, np.ndarray], names: _Names) -> Iterator[str]:
    """Equal bytes: how many, of which classes, and in which splits."""
    read_N = np.setdiff1d(np.arange(len(source.labels)), [*examined.faults])
    ids_N = np.ascontiguousarray(examined.ids[read_N]).view(f"V{ID}").ravel()
    contents, content_N = np.unique(ids_N, return_inverse=True)
    if len(contents) == len(read_N):
        return
    if len(contents) == 1:
        yield f"all {len(read_N):,} images have the same bytes"
        return
    yield f"{_images(len(read_N) - len(contents))} copies of others, byte by byte: no split divides them"
    split_N = np.full(len(source.labels), -1)
    for number, members in enumerate(rows.values()):
        split_N[members] = number
    used_N, known_N = split_N[read_N] >= 0, source.labels[read_N] != NO_LABEL
    for what, parted in (
        ("under two labels", _parted(content_N[known_N], source.labels[read_N][known_N])),
        ("in two splits of the source's own", _parted(content_N[used_N], split_N[read_N][used_N])),
    ):
        if len(parted):
            shown = (
                " = ".join(names.of(row) for row in read_N[content_N == content][:2].tolist())
                for content in parted[: SHOWN + 1].tolist()
            )
            yield f"{_images(len(parted))} there {what}, with the same bytes: {some(shown)}"


def _parted(content_N: np.ndarray, value_N: np.ndarray) -> np.ndarray:
    """The contents that have more than one value."""
    pairs = np.unique(np.stack([content_N, value_N], axis=1), axis=0)
    contents, counts = np.unique(pairs[:, 0], return_counts=True)
    return contents[counts > 1]


def _parted_groups(source: Source, rows: Mapping[SplitName, np.ndarray]) -> Iterator[str]:
    if source.groups is None or source.splits is None:
        return
    of: dict[str, set[str]] = {}
    for split, members in rows.items():
        for row in members.tolist():
            if (group := source.groups[row]) is not None:
                of.setdefault(group, set()).add(split)
    if parted := [group for group, splits in of.items() if len(splits) > 1]:
        yield f"{len(parted):,} groups are in two splits of the source's own: {some(map(repr, sorted(parted)))}"


class _Names:
    """What an image is called: its file, or its number."""

    def __init__(self, source: Source) -> None:
        self._names = names_of(source.images)

    def of(self, row: int) -> str:
        return self._names[row] if self._names else f"image {row}"

    def some(self, rows: np.ndarray) -> str:
        return some(self.of(row) for row in rows.tolist())


def _images(count: int) -> str:
    return "1 image is" if count == 1 else f"{count:,} images are"
