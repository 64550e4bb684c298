"""What was found of image files before: so a killed `prepare` goes on where it was, and one more is one more reading.

A file that only grows, a line an image. A line counts where name, size and mtime are as they were, which is what `plan`
and DVC go by, too; one that a kill or a disk has spoiled counts for nothing. What could not be read is not kept.

Legend: N images.
"""

from __future__ import annotations

import fcntl
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path

import numpy as np

from pipeline.base.files import digest, replacing
from pipeline.data.colours import Colour
from pipeline.data.decoders import decoders
from pipeline.data.names import nfc
from pipeline.data.splits import ID

SCHEMA = 1
FOLDER = "looks"  # beside the training state
NAMED = re.compile(r"[0-9a-f]{64}\.looks")
UNFINISHED = re.compile(r"\.[0-9a-f]{64}\.looks\.[0-9]+(\.old)?\.tmp")  # of `files.replacing`, which removes it
SPARE = 1000  # lines of files that are gone or changed, beyond as many as there are files

Stamp = tuple[int, int]  # size in bytes, mtime in ns


@dataclass(frozen=True)
class Look:
    """Of one image: SHA-256 of its bytes, whether it is of one colour, whether it is nearly black."""

    id: bytes
    flat: bool
    dark: bool


class Looks:
    """What is known of the images of one source, by row; memory is that of a few numbers an image."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._stamp_N2 = np.full((len(names), 2), -1, dtype=np.int64)
        self._id_N = np.zeros((len(names), ID), dtype=np.uint8)
        self._odd_N2 = np.zeros((len(names), 2), dtype=bool)
        self.file: RawIOBase | None = None

    def before(self, row: int, stamp: Stamp | None) -> Look | None:
        """What was found of an image, where it is the same file as then."""
        if stamp is None or tuple(self._stamp_N2[row].tolist()) != stamp:
            return None
        flat, dark = self._odd_N2[row].tolist()
        return Look(self._id_N[row].tobytes(), flat, dark)

    def add(self, row: int, stamp: Stamp, look: Look) -> None:
        """Keep what was found, in one call of the system: a line is there or not."""
        if self.file is not None:
            self.file.write(self._line(row, stamp, look))

    def read(self, lines: Iterator[bytes]) -> int:
        """Take in lines of `add`, of which later ones count; how many there were."""
        place = {nfc(name): row for row, name in enumerate(self._names)}
        count = 0
        for line in lines:
            count += 1
            try:
                content, _, sum_ = line.rstrip(b"\n").rpartition(b" ")
                if int(sum_) != zlib.crc32(content):
                    continue
                name, size, mtime, found, flat, dark = json.loads(content)
            except ValueError:
                continue
            if (row := place.get(name)) is not None:
                self._stamp_N2[row] = size, mtime
                self._id_N[row] = np.frombuffer(bytes.fromhex(found), dtype=np.uint8)
                self._odd_N2[row] = flat, dark
        return count

    def lines(self) -> Iterator[bytes]:
        """All that is known."""
        for row in np.flatnonzero(self._stamp_N2[:, 0] >= 0).tolist():
            size, mtime = self._stamp_N2[row].tolist()
            flat, dark = self._odd_N2[row].tolist()
            yield self._line(row, (size, mtime), Look(self._id_N[row].tobytes(), flat, dark))

    def _line(self, row: int, stamp: Stamp, look: Look) -> bytes:
        content = json.dumps([nfc(self._names[row]), *stamp, look.id.hex(), look.flat, look.dark]).encode()
        return content + b" %d\n" % zlib.crc32(content)


def looks_file(state: Path, source: str, root: Path) -> Path:
    """Where it is kept what was found of the images of a source, below the folder of all training state.

    root: `data.root`, resolved.
    """
    return state / FOLDER / f"{digest([source, str(root)])}.looks"


@contextmanager
def kept_looks(path: Path | None, names: Sequence[str], background: Colour) -> Iterator[Looks]:
    """What the file `path` holds of these images, and takes on; without a path nothing is kept.

    background: of what is transparent; what was found before another, or by another decoder, does not count.
    """
    looks = Looks(names)
    if path is None:
        yield looks
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    head = json.dumps({"schema": SCHEMA, "decoders": decoders(), "background": [*background]}).encode() + b"\n"
    whole = False
    if path.is_file():
        with path.open("rb") as file:
            whole = file.readline() == head and looks.read(file) <= 2 * len(names) + SPARE
            whole = whole and (file.seek(-1, 2) >= 0 and file.read() == b"\n")
    if not whole:
        with replacing(path) as temporary, temporary.open("wb") as file:
            file.write(head)
            file.writelines(looks.lines())
    with path.open("ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # `gc` leaves what is in use
        looks.file = file
        yield looks
