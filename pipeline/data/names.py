"""Names that others gave: of splits, and of files and classes, which are compared in one form (NFC).

A letter with an accent may be one character or two, by the system that wrote it; both look alike.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

SHOWN = 10  # names of many
NO_LABEL = -1  # the number of the class of an image without a label

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
UNLABELLED_NAMES = ("unlabelled", "unlabeled")


def nfc(name: str) -> str:
    """A name as it is compared."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def split_of(name: str) -> SplitName | None:
    """The split that a folder, a file or a column calls by this name, in any case; None where it is none."""
    return SPLIT_NAMES.get(name.casefold())


def is_unlabelled(name: str) -> bool:
    """Whether a folder or a file of this name, in any case, holds training images without a label."""
    return name.casefold() in UNLABELLED_NAMES


def given_label(value: Any) -> Any:
    """A label as a source has it; None where that says that there is none: nothing, an empty string, or -1."""
    is_none = value in ("", "-1") if isinstance(value, str) else type(value) is int and value == NO_LABEL
    return None if is_none else value


def numbered(labels: Sequence[Any]) -> tuple[list[int], list[Any]]:
    """The number of each label among the distinct ones, `NO_LABEL` of None, and those in their order."""
    classes = class_order(label for label in labels if label is not None)
    place = {name: number for number, name in enumerate(classes)}
    return [NO_LABEL if label is None else place[label] for label in labels], classes


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
