"""Labels on their way: written a part at a time, so that a kill costs one part, and the bytes do not tell of it.

A folder that lies outside the stage's outs, as saved training does: whole views as they will be read; `whole`, a line
for each of them; and `parts`, those of the view that is next. A part is a fixed number of rows, the last one of a view
shorter. Nothing is believed before its SHA-256 was compared: the first line or part that is torn ends what is used.

Legend: N samples of a split, B rows of a part.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.base import files
from pipeline.labels.layout import Format, layout
from pipeline.labels.store import content, view_path

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
        self._view: list[Arrays] = []
        with _naming(folder / WHOLE):
            # What follows was torn, or is of views that are to be made again.
            (folder / WHOLE).write_text("".join(_line(v, file) for v, file in enumerate(self.whole)))
            with (folder / PARTS).open("a+b") as file:
                file.seek(0)
                self._view += self._parts(file.read())
                file.truncate(sum(map(_size, self._view)))

    @property
    def done(self) -> int:
        """Parts of the next view that are there."""
        return len(self._view)

    def add(self, arrays: Arrays) -> None:
        """Write the next part: the arrays of `layout`, of its rows. The last one of a view makes that whole."""
        self._view.append(arrays)
        if len(self._view) < len(self.sizes):
            with _naming(self.folder / PARTS), (self.folder / PARTS).open("ab") as file:
                file.write(self._record(len(self._view) - 1, arrays))
            return
        whole = content({name: np.concatenate([part[name] for part in self._view]) for name in arrays})
        v = len(self.whole)
        path = view_path(self.folder, v)
        temporary = path.with_suffix(".tmp")
        with _naming(path):
            temporary.write_bytes(whole)
            os.replace(temporary, path)
            self.whole.append(File(len(whole), hashlib.sha256(whole).hexdigest()))
            with (self.folder / WHOLE).open("a") as file:
                file.write(_line(v, self.whole[-1]))
            if len(self.sizes) > 1:
                os.truncate(self.folder / PARTS, 0)
        self._view = []

    def finish(self, folder: Path, views: int) -> list[File]:
        """Put the files of views 0 .. `views` into a folder and return what they are; they stay here, too.

        Linked where the file system can: nothing changes either of them in place, and they take no room twice.
        """
        for v in range(views + 1):
            source, target = view_path(self.folder, v), view_path(folder, v)
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

    def _parts(self, written: bytes) -> Iterator[Arrays]:
        """The parts of the next view, up to the first that is torn; those of the view before do not count."""
        start = 0
        for number, rows in enumerate(self.sizes[:-1]):
            expected = layout(self.format, rows, self.classes)
            arrays, at = {}, start + DIGEST
            for name, (dtype, shape) in expected.items():
                size = int(np.prod(shape)) * dtype.itemsize
                if at + size > len(written):
                    return
                arrays[name] = np.frombuffer(written[at : at + size], dtype).reshape(shape)
                at += size
            if written[start : start + DIGEST] != self._seal(number, arrays):
                return
            yield arrays
            start = at

    def _record(self, number: int, arrays: Arrays) -> bytes:
        return b"".join([self._seal(number, arrays), *(array.tobytes() for array in arrays.values())])

    def _seal(self, number: int, arrays: Arrays) -> bytes:
        """SHA-256 of a part and its place."""
        seal = hashlib.sha256(f"{len(self.whole)} {number}\n".encode())
        for array in arrays.values():
            seal.update(np.ascontiguousarray(array).data)
        return seal.digest()


def _line(v: int, file: File) -> str:
    return f"{v} {file.bytes} {file.sha256}\n"


def _size(arrays: Arrays) -> int:
    """Bytes of a part in the file."""
    return DIGEST + sum(array.nbytes for array in arrays.values())


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file where a write fails, which the operating system does not."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
