"""Images in tar archives, as WebDataset has them: members whose names are equal up to the first dot are one sample.

A sample has no label where others of its archive have one, or where it is empty, null or -1; in an archive whose name
begins with `unlabelled` none has one.

Legend: N samples.
"""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.errors import UserError
from pipeline.data.formats import SUFFIXES
from pipeline.data.holders import Holders
from pipeline.data.images import Source
from pipeline.data.names import LeftOut, SplitName, given_label, nfc, numbered, some

LONGEST = 2**20  # bytes of a label
WRONG = object()


@dataclass(frozen=True, eq=False)
class TarFiles:
    """Members of archives, found by where they lie in them: see `pipeline.data.images.Files`.

    place_N3: of each the number of the archive, the offset and the size in bytes, int64 (N, 3).
    """

    holders: Holders
    names: tuple[str, ...]
    place_N3: np.ndarray

    def read(self, row: int) -> bytes:
        """A whole member."""
        tar, offset, size = self.place_N3[row].tolist()
        with (self.holders.root / self.holders.names[tar]).open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def stamp(self, row: int) -> tuple[int, int]:
        """Size and time of the archive."""
        return self.holders.stamps[int(self.place_N3[row, 0])]


@dataclass
class _Samples:
    """What is found so far. unlabelled: the archives whose images have no label."""

    unlabelled: frozenset[str]
    names: list[str] = field(default_factory=list)
    places: list[tuple[int, int, int]] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    splits: list[SplitName] = field(default_factory=list)


def load_tars(holders: Holders, label: str, key: str | None) -> Source:
    """The samples of all archives. label: what the name of a label ends in; key: of it in JSON, else it is the text.

    Raises:
        UserError: An archive is compressed or damaged, none of its samples has a label, or one has several images.
    """
    found, left_out = _Samples(holders.unlabelled), holders.left_out
    for number, name in enumerate(holders.names):
        before = len(found.names)
        _take(holders.root / name, name, number, label, key, found, left_out)
        if holders.splits:
            found.splits.extend(holders.splits[number] for _ in found.names[before:])
    if not found.names:
        raise UserError(f"data.root {holders.root} has archives without images ({' '.join(SUFFIXES)})")
    labels, classes = numbered(found.labels)
    labels_N = np.array(labels, dtype=np.int64)
    files = TarFiles(holders, tuple(found.names), np.array(found.places, dtype=np.int64))
    return Source(files, labels_N, tuple(classes), found.splits or None, left_out=left_out.sentences())


def _take(path: Path, name: str, number: int, label: str, key: str | None, found: _Samples, left_out: LeftOut) -> None:
    """Add the samples of one archive, whose members are walked through once."""
    images: dict[str, list[tarfile.TarInfo]] = {}
    labels: dict[str, str | None] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                folder, slash, base = member.name.rpartition("/")
                stem, _, ending = base.partition(".")
                sample = folder + slash + stem
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    left_out.add("no plain file in its archive", f"{name}#{member.name}")
                elif f".{ending.lower()}".endswith(SUFFIXES):
                    images.setdefault(sample, []).append(member)
                elif ending == label:
                    labels[sample] = _label(tar, member, key, f"{path}: {member.name}")
                else:
                    left_out.add("neither image nor label of its sample", f"{name}#{member.name}")
            # Python takes whatever is no head of a member for the end.
            with path.open("rb") as file:
                file.seek(tar.offset)
                if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                    raise tarfile.TarError("it ends within a member, or without a mark of its end")
    except tarfile.TarError as error:
        raise UserError(f"{path} is no whole tar archive without compression ({error}): write it anew") from None
    if name in found.unlabelled:
        labels = dict.fromkeys(labels)
    elif images and not labels.keys() & images.keys():
        raise UserError(
            f"{path} has {len(images):,} images and no label of any, which ends in .{label}: {some(images)}: set "
            "data.label_file in params.yaml to what its name ends in, or begin the archive's name with unlabelled"
        )
    for sample, members in images.items():
        if len(members) > 1:
            raise UserError(f"{path} has {len(members)} images of the sample {sample!r}: keep one")
        found.names.append(f"{name}#{nfc(members[0].name)}")
        found.places.append((number, members[0].offset_data, members[0].size))
        found.labels.append(labels.get(sample))
    for sample in sorted(labels.keys() - images.keys()):
        left_out.add("a label without an image", f"{name}#{sample}.{label}")


def _label(tar: tarfile.TarFile, member: tarfile.TarInfo, key: str | None, where: str) -> str | None:
    """The class that a label names; None where it says that there is none."""
    file = tar.extractfile(member) if member.size <= LONGEST else None
    try:
        value: Any = file.read().decode().strip() if file else WRONG
        if key is not None:
            value = json.loads(value)[key]
    except (ValueError, KeyError, TypeError, RecursionError):
        value = WRONG
    if (value := given_label(value)) is None:
        return None
    if not isinstance(value, str | int) or isinstance(value, bool):
        what = f"a JSON object with a class under {key!r}" if key is not None else "the name or the number of a class"
        raise UserError(f"{where} must hold {what}")
    return nfc(str(value))
