"""Labels on their way: written a part at a time, so that a kill costs one part, and the bytes do not tell of it.

A folder that lies outside the stage's outs, as saved training does: whole views as they will be read; `whole`, a line
for each of them; and `parts`, those of the view that is next. A part is a fixed number of rows, the last one of a view
shorter. Nothing is believed before its SHA-256 was compared: the first line or part that is torn ends what is used.
No more than one part is in memory, however many rows a view has.

Legend: N samples of a split, B rows of a part.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from pipeline.base import files
from pipeline.labels.layout import BASIS, Format, layout, sizes
from pipeline.labels.mapped import beginning
from pipeline.labels.store import view_path

DIGEST = 32  # bytes of a SHA-256
WHOLE = "whole"
PARTS = "parts"

Arrays = Mapping[str, np.ndarray]


class File(NamedTuple):
    """Length and SHA-256 of a view's file."""

    bytes: int
    sha256: str


class Parts:
    """The parts of a label set that are written, and the place of the next one.

    Args:
        folder: Where they lie; one process holds it. It belongs to one teacher, data, stream and format.
        format, count, classes: Of the labels.
        rows: Of a part.

    Attributes:
        whole: The file of each whole view, from view 0 on.
        done: Parts of the next view that are there.
    """

    def __init__(self, folder: Path, format: Format, count: int, classes: int, rows: int) -> None:
        self.folder = folder
        self.format = format
        self.classes = classes
        self.sizes = [min(rows, count - start) for start in range(0, count, rows)]
        self.whole = list(self._whole())
        with _naming(folder / WHOLE):
            # What follows was torn, or is of views that are to be made again.
            (folder / WHOLE).write_text("".join(_line(v, file) for v, file in enumerate(self.whole)))
            with (folder / PARTS).open("a+b") as file:
                file.seek(0)
                self.done = self._whole_parts(file)
                file.truncate(sum(map(self._size, self.sizes[: self.done])))

    def add(self, arrays: Arrays) -> None:
        """Write the next part: the arrays of `layout`, of its rows. The last one of a view makes that whole."""
        if self.done + 1 < len(self.sizes):
            with _naming(self.folder / PARTS), (self.folder / PARTS).open("ab") as file:
                names = layout(self.format, self.sizes[self.done], self.classes)
                rows = b"".join(arrays[name].tobytes() for name in names)
                file.write(self._seal(self.done, rows) + rows)
            self.done += 1
            return
        v = len(self.whole)
        path = view_path(self.folder, v)
        temporary = path.with_suffix(".tmp")
        with _naming(path):
            file = self._join(arrays, temporary)
            os.replace(temporary, path)
            self.whole.append(file)
            with (self.folder / WHOLE).open("a") as lines:
                lines.write(_line(v, file))
            if len(self.sizes) > 1:
                os.truncate(self.folder / PARTS, 0)
        self.done = 0

    def finish(self, folder: Path, views: int) -> list[File]:
        """Put the files of views 0 .. `views` into a folder and return what they are; they stay here, too.

        So is the basis of low-rank labels. Linked where the file system can: nothing changes either of them in place,
        and they take no room twice.
        """
        names = [view_path(folder, v).name for v in range(views + 1)]
        for name in [*names, *([BASIS] if self.format.rank is not None else [])]:
            source, target = self.folder / name, folder / name
            target.unlink(missing_ok=True)  # of an earlier labelling: it may be the very file
            try:
                os.link(source, target)
            except OSError:
                with _naming(target):
                    shutil.copyfile(source, target)
        return self.whole[: views + 1]

    def _whole(self) -> Iterator[File]:
        """The views, up to the first that is not there as it was written."""
        path = self.folder / WHOLE
        for v, line in enumerate(path.read_text(errors="replace").splitlines(True) if path.exists() else []):
            view = view_path(self.folder, v)
            if not view.is_file():
                return
            file = File(view.stat().st_size, files.sha256(view))
            if line != _line(v, file):
                return
            yield file

    def _whole_parts(self, file: BinaryIO) -> int:
        """How many parts of the next view there are, up to the first that is torn; those of others do not count."""
        for number, rows in enumerate(self.sizes[:-1]):
            record = file.read(self._size(rows))
            if len(record) < self._size(rows) or record[:DIGEST] != self._seal(number, record[DIGEST:]):
                return number
        return len(self.sizes) - 1

    def _join(self, last: Arrays, path: Path) -> File:
        """Write the view that the parts of the file make with the last one, a part of an array at a time."""
        seal, length = hashlib.sha256(), 0
        with (self.folder / PARTS).open("rb") as parts, path.open("wb") as file:
            for piece in self._pieces(parts, last):
                file.write(piece)
                seal.update(piece)
                length += len(piece)
        return File(length, seal.hexdigest())

    def _pieces(self, parts: BinaryIO, last: Arrays) -> Iterator[bytes]:
        """The bytes of the view, in order."""
        start, order = beginning(layout(self.format, sum(self.sizes), self.classes))
        yield start
        for name in order:
            at = 0
            for rows in self.sizes[:-1]:
                begins, ends = self._place(name, rows)
                parts.seek(at + begins)
                yield parts.read(ends - begins)
                at += self._size(rows)
            yield last[name].tobytes()

    def _place(self, name: str, rows: int) -> tuple[int, int]:
        """From which byte of a part on an array lies, and to which."""
        lengths = sizes(layout(self.format, rows, self.classes))
        number = [*lengths].index(name)
        begins = DIGEST + sum([*lengths.values()][:number])
        return begins, begins + lengths[name]

    def _size(self, rows: int) -> int:
        """Bytes of a part of so many rows in the file."""
        return DIGEST + sum(sizes(layout(self.format, rows, self.classes)).values())

    def _seal(self, number: int, rows: bytes) -> bytes:
        """SHA-256 of a part and its place."""
        seal = hashlib.sha256(f"{len(self.whole)} {number}\n".encode())
        seal.update(rows)
        return seal.digest()


def _line(v: int, file: File) -> str:
    return f"{v} {file.bytes} {file.sha256}\n"


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file where a write fails, which the operating system does not."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
