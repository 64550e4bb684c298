"""Files that hold many images each, as tables and archives do: which lie in a folder, and of which split they are."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pipeline.base.errors import UserError
from pipeline.data.listing import HIDDEN, stamp, stamped
from pipeline.data.names import SPLITS, LeftOut, SplitName, is_unlabelled, nfc, split_of

WORD = re.compile(r"[^\W\d_]*")  # with which a name begins: train-00000-of-00005.parquet
Told = TypeVar("Told")


@dataclass(frozen=True, eq=False)
class Holders:
    """Files below `root`, by their names there, sorted by split.

    splits: of each, where their names tell; else None. stamps: size in bytes and mtime in ns of each. unlabelled: those
    whose images have no label, and train, by their names.
    """

    root: Path
    names: list[str]
    splits: list[SplitName] | None
    stamps: list[tuple[int, int]]
    left_out: LeftOut
    unlabelled: frozenset[str] = frozenset()


def find_holders(root: Path, pattern: str, links: bool = False) -> Holders:
    """All files below `root`, at any depth, whose names match `pattern`, as of `Path.match`.

    Each is of the split that its name begins with, else of that of a folder above it; one that begins with `unlabelled`
    holds training images without a label.

    Raises:
        UserError: There is none, some are of a split and some of none, or one lies elsewhere and links are not allowed.
    """
    left_out, names = LeftOut(), []
    within = None if links else root.resolve()
    for path in sorted(root.rglob("*"), key=lambda path: nfc(path.as_posix())):
        name = path.relative_to(root).as_posix()
        if path.is_dir():
            continue
        if any(part.startswith(".") for part in name.split("/")):
            left_out.add(HIDDEN, name)
        elif not path.match(pattern):
            left_out.add(f"it is no {pattern}", name)
        elif within and not path.resolve().is_relative_to(within):
            raise UserError(
                f"{path} under data.root is a link out of it: take it out, or set data.links to true in params.yaml"
            )
        else:
            names.append(name)
    if not names:
        raise UserError(f"data.root {root} holds no {pattern}: set data.root in params.yaml to a folder that does")
    unlabelled = frozenset(name for name in names if _told(name, lambda word: is_unlabelled(word) or None))
    split_of_name: dict[str, SplitName | None] = {
        name: _told(name, split_of) for name in names if name not in unlabelled
    }
    known = {split for split in split_of_name.values() if split}
    if known and None in split_of_name.values():
        odd = next(name for name, split in split_of_name.items() if split is None)
        raise UserError(
            f"{root / odd} is of no split by its name, and others are of {' and '.join(sorted(known))}: "
            "begin its name, or that of its folder, with train, val or test"
        )
    names.sort(key=lambda name: SPLITS.index(split) if (split := split_of_name.get(name)) else 0)
    splits: list[SplitName] = []
    for name in names if known else ():
        splits.append(split_of_name.get(name) or "train")
    return Holders(root, names, splits or None, [stamp(root / name) for name in names], left_out, unlabelled)


def listing(root: Path, pattern: str, links: bool) -> dict[str, int | str]:
    """Count such files and digest their names, sizes and times: what they hold is read by `prepare`."""
    return stamped(root, find_holders(root, pattern, links).names)


def _told(name: str, means: Callable[[str], Told | None]) -> Told | None:
    """What the first word of a name means, else that of a folder above it."""
    words = (WORD.match(part) for part in reversed(name.split("/")))
    return next((found for word in words if word and (found := means(word[0]))), None)
