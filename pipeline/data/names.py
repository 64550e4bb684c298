"""Names that others gave: of splits, and of files and classes, which are compared in one form (NFC).

A letter with an accent may be one character or two, by the system that wrote it; both look alike.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, Literal

SHOWN = 10  # names of many

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
SPLIT_NAMES: Mapping[str, SplitName] = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
}


def nfc(name: str) -> str:
    """A name as it is compared."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def split_of(name: str) -> SplitName | None:
    """The split that a folder, a file or a column calls by this name, in any case; None where it is none."""
    return SPLIT_NAMES.get(name.casefold())


def class_order(labels: Iterable[Any]) -> list[Any]:
    """Distinct labels in the order of a network's outputs: whole numbers by their value, else by their letters."""
    distinct = {*labels}
    numbers = all(isinstance(each, int) or (each.isascii() and each.isdigit()) for each in distinct)
    return sorted(distinct, key=lambda each: (int(each), str(each)) if numbers else (0, str(each)))


def some(names: Iterable[str], count: int | None = None) -> str:
    """The first ten of the names, and that there are more; count: of all, where `names` has not all of them."""
    shown = []
    for name in names:
        if len(shown) == SHOWN:
            return ", ".join(shown) + ", …"
        shown.append(name)
    return ", ".join(shown) + (", …" if count is not None and count > len(shown) else "")


class LeftOut:
    """What is not read of a source: how much of it by reason, and the first ten names of each."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.names: dict[str, list[str]] = {}

    def add(self, reason: str, name: str) -> None:
        """Count one; `reason` completes "left out because …"."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        first = self.names.setdefault(reason, [])
        if len(first) < SHOWN:
            first.append(name)

    def sentences(self) -> list[str]:
        """One a reason."""
        return [
            f"left out {count:,} ({reason}): {some(self.names[reason], count)}" for reason, count in self.counts.items()
        ]
