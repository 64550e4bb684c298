"""A list of image files with their classes: CSV with a head, or JSON lines.

Columns: `path` below the root, `label`, and where they are wanted `split`, `group` and `weight`. Nothing else: a column
that is not known is refused, and so is a split that is missing where others have one. An image whose label is empty,
null or -1 has none, and trains. One without a weight has the weight 1.
"""

import csv
import hashlib
import json
import math
import os
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.base.errors import UserError
from pipeline.base.kinds import unlike_file
from pipeline.config.section import unknown
from pipeline.data.names import SPLIT_NAMES, SplitName, given_label, nfc, numbered, split_of

NEEDED = ("path", "label")
COLUMNS = (*NEEDED, "split", "group", "weight")
ManifestLine = dict[str, Any]


@dataclass(frozen=True, eq=False)
class ListedImages:
    """The images of a manifest, in its order; fields as of `listing.Found`. groups, weights: of each, or None."""

    paths: list[str]
    labels: list[int]
    classes: tuple[str, ...]
    splits: list[SplitName] | None
    groups: list[str | None] | None
    weights: list[float] | None


def listing(root: Path, manifest: str, links: bool) -> dict[str, int | str]:
    """Count the images that a manifest names and digest its bytes, and sizes and times of the images."""
    listed = read_manifest(root, manifest, links)
    seen = hashlib.sha256((root / manifest).read_bytes())
    for name in listed.paths:
        try:
            found = (root / name).stat()
            seen.update(f"{found.st_size} {found.st_mtime_ns}\0".encode())
        except OSError:
            seen.update(b"-\0")  # `prepare` names all that are missing
    return {"count": len(listed.paths), "digest": seen.hexdigest()}


def read_manifest(root: Path, manifest: str, links: bool) -> ListedImages:
    """What a manifest below `root` lists. links: whether its paths may lead out of the root.

    Raises:
        UserError: It is missing, no CSV or JSON lines, or a line of it cannot be used, which is named.
    """
    path = root / manifest
    if why := unlike_file(path):
        raise UserError(f"data.manifest {path} {why}: set data.root and data.manifest in params.yaml to where it lies")
    readers: dict[str, Callable[[Path], Iterator[tuple[int, ManifestLine]]]] = {
        ".csv": _csv,
        ".jsonl": _lines,
        ".ndjson": _lines,
    }
    if (reader := readers.get(path.suffix.lower())) is None:
        raise UserError(f"data.manifest {path} must end in {' or '.join(readers)}, by what it holds")
    found = _Lines(path)
    try:
        for line, row in reader(path):
            found.take(line, row)
    except (csv.Error, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is no readable {path.suffix[1:].upper()} in UTF-8 ({error}): write it anew") from None
    if not found.paths:
        raise UserError(f"{path} lists no image: add some")
    disk = _Disk(root, None if links else root.resolve(), path)
    labels, names = numbered(found.labels)
    return ListedImages(
        [disk.name(name, line) for name, line in found.paths.items()],
        labels,
        tuple(names),
        found.whole_splits(),
        found.groups if any(found.groups) else None,
        found.whole_weights(),
    )


def _csv(path: Path) -> Iterator[tuple[int, ManifestLine]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        head = next(reader, [])
        if twice := {name for name in head if head.count(name) > 1}:
            raise UserError(f"{path} has the column {min(twice)!r} twice: keep one")
        for name in NEEDED:
            if name not in head:
                raise UserError(f"{path} has no column {name!r}: its first line names the columns, such as path,label")
        for name in head:
            _check_column(name, f"{path}:1")
        for cells in reader:
            if cells and len(cells) != len(head):
                raise UserError(f"{path}:{reader.line_num} has {len(cells)} values and {len(head)} columns: mend it")
            if cells:
                yield reader.line_num, {name: cell for name, cell in zip(head, cells, strict=True) if cell}


def _lines(path: Path) -> Iterator[tuple[int, ManifestLine]]:
    def once(pairs: list[tuple[str, Any]]) -> ManifestLine:
        if len(row := dict(pairs)) < len(pairs):
            raise ValueError("a key stands there twice")
        return row

    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line, object_pairs_hook=once)
            except ValueError as error:
                raise UserError(f"{path}:{number} is no JSON ({error}): write one object a line") from None
            if not isinstance(row, dict):
                raise UserError(f'{path}:{number} is no JSON object, such as {{"path": "a.jpg", "label": "cat"}}')
            for name in row:
                _check_column(name, f"{path}:{number}")
            yield number, {name: value for name, value in row.items() if value is not None}


def _check_column(name: str, where: str) -> None:
    if name not in COLUMNS:
        raise UserError(f"{where}: {unknown('column', name, COLUMNS)}")


@dataclass
class _Lines:
    """What is read so far; lists are as long as `paths`, which has the line of each."""

    file: Path
    paths: dict[str, int] = field(default_factory=dict)
    labels: list[str | None] = field(default_factory=list)
    splits: list[SplitName | None] = field(default_factory=list)
    groups: list[str | None] = field(default_factory=list)
    weights: list[float | None] = field(default_factory=list)

    def take(self, line: int, row: ManifestLine) -> None:
        where = f"{self.file}:{line}"
        if "path" not in row:
            raise UserError(f"{where} has no path: each line needs one")
        path = posixpath.normpath(self._text(row, "path", where, numbers=False))
        if (before := self.paths.setdefault(nfc(path), line)) != line:
            raise UserError(f"{where} names {path!r} again, after line {before}: keep one")
        has_label = given_label(row.get("label")) is not None
        self.labels.append(nfc(self._text(row, "label", where)) if has_label else None)
        split = row.get("split")
        named = split_of(split) if isinstance(split, str) else None
        if split is not None and named is None:
            raise UserError(f"{where} has the split {split!r}: it must be one of {', '.join(SPLIT_NAMES)}")
        self.splits.append(named)
        self.groups.append(nfc(self._text(row, "group", where)) if "group" in row else None)
        self.weights.append(_weight(row["weight"], where) if "weight" in row else None)

    def whole_splits(self) -> list[SplitName] | None:
        """The splits, where all lines have one; what has neither a split nor a label trains."""
        if not any(self.splits):
            return None
        whole: list[SplitName] = []
        for split, label, line in zip(self.splits, self.labels, self.paths.values(), strict=True):
            if split is None and label is not None:
                raise UserError(
                    f"{self.file}:{line} has no split, and other lines have one: give each line one, or none"
                )
            whole.append(split or "train")
        return whole

    def whole_weights(self) -> list[float] | None:
        """The weights, where there are any."""
        if all(weight is None for weight in self.weights):
            return None
        return [1.0 if weight is None else weight for weight in self.weights]

    def _text(self, row: ManifestLine, name: str, where: str, *, numbers: bool = True) -> str:
        value = row[name]
        if numbers and type(value) is int:
            return str(value)
        if not isinstance(value, str) or not value or value != value.strip() or "\0" in value:
            kinds = "a string or a whole number" if numbers else "a string"
            raise UserError(
                f"{where} has the {name} {value!r}: it must be {kinds}, not empty, without spaces around it"
            )
        return value


def _weight(value: Any, where: str) -> float:
    try:
        weight = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise UserError(f"{where} has the weight {value!r}: it must be a number, 0 or more; without one it is 1")
    return weight


class _Disk:
    """Finds files by the names that a manifest gives them, in whichever form of Unicode the disk has these."""

    def __init__(self, root: Path, within: Path | None, manifest: Path) -> None:
        self._root = root
        self._within = within
        self._manifest = manifest
        self._folders: dict[str, bool] = {}  # whether each leads out of `within`
        self._names: dict[str, dict[str, str]] = {}

    def name(self, path: str, line: int) -> str:
        """The name below the root; that of the manifest where there is no such file."""
        if not os.path.lexists(self._root / path):
            path = self._in_other_letters(path)
        if self._within is not None and self._leads_out(path):
            raise UserError(
                f"{self._manifest}:{line} names {path!r}, which lies outside data.root: move it there, or set "
                "data.links to true in params.yaml where all paths there are to be followed"
            )
        return path

    def _leads_out(self, path: str) -> bool:
        assert self._within is not None
        parent = posixpath.dirname(path)
        if parent not in self._folders:
            self._folders[parent] = not (self._root / parent).resolve().is_relative_to(self._within)
        whole = self._root / path
        if posixpath.basename(path) == "..":
            return True
        return not whole.resolve().is_relative_to(self._within) if whole.is_symlink() else self._folders[parent]

    def _in_other_letters(self, path: str) -> str:
        found = ""
        for part in path.split("/"):
            if found not in self._names:
                try:
                    self._names[found] = {nfc(name): name for name in os.listdir(self._root / found)}
                except OSError:
                    self._names[found] = {}
            found = posixpath.join(found, self._names[found].get(nfc(part), part))
        return found
