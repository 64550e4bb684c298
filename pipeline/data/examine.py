"""Every image of a source is read once: which bytes it has, whether it can be decoded, and what is odd about it.

Legend: N rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.base.errors import UserError
from pipeline.data.ahead import in_order
from pipeline.data.colours import Colour
from pipeline.data.decode import NotDecoded, decode
from pipeline.data.images import Files, Images, Source, content_of, names_of
from pipeline.data.keeping import Keeping
from pipeline.data.kept_looks import Look, Stamp, kept_looks
from pipeline.data.splits import ID

LOOK = 32  # edge in pixels at which an image is looked at
FLAT, DARK = 2, 4  # grey levels: a range, and a mean, that are seen as nothing
CHUNK = 256  # images of an array at a time
TOGETHER = 16  # files that a worker is given at a time
LISTED = 1000  # of the files that cannot be read


@dataclass(frozen=True, eq=False)
class Examined:
    """What is known of every image.

    ids: SHA-256 of its bytes as the source has them, uint8 (N, 32). flat, dark: bool (N,), of one colour, or nearly
    black. faults: why a row cannot be read.
    """

    ids: np.ndarray
    flat: np.ndarray
    dark: np.ndarray
    faults: dict[int, str]


def examine(source: Source, background: Colour, kept: Path | None = None, keeping: Keeping | None = None) -> Examined:
    """Read and decode every image of a source.

    background: of what is transparent. kept: the file of what was found before, which is made where it is missing.
    """
    keeping = keeping or Keeping()
    count = len(source.labels)
    ids_N = np.zeros((count, ID), dtype=np.uint8)
    flat_N, dark_N = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    faults: dict[int, str] = {}
    looks = (
        _files(source.images, count, background, kept, keeping.workers)
        if isinstance(source.images, Files)
        else _arrays(source.images, count)
    )
    with keeping.showing("read", count) as show:
        for row, look in enumerate(looks):
            if isinstance(look, str):
                faults[row] = look
            else:
                ids_N[row] = np.frombuffer(look.id, dtype=np.uint8)
                flat_N[row], dark_N[row] = look.flat, look.dark
            show(row + 1)
    return Examined(ids_N, flat_N, dark_N, faults)


def refuse_unreadable(source: Source, faults: dict[int, str]) -> None:
    """Name all files that cannot be read, at once.

    Raises:
        UserError: There are some.
    """
    if not faults:
        return
    names = names_of(source.images)
    listed = "; ".join(f"{names[row] if names else row} ({why})" for row, why in [*faults.items()][:LISTED])
    more = f"; and {len(faults) - LISTED:,} more" if len(faults) > LISTED else ""
    raise UserError(
        f"{len(faults):,} of {len(source.labels):,} files under data.root "
        f"{'are no readable images' if len(faults) > 1 else 'is no readable image'}: {listed}{more}: replace "
        "them, take them out, or set data.unreadable to skip in params.yaml"
    )


def _files(files: Files, count: int, background: Colour, kept: Path | None, workers: int) -> Iterator[Look | str]:
    """What is known of each file, or why it cannot be read."""

    def look(row: int) -> Look | str:
        try:
            content = content_of(files, row)
            image = decode(content, mode="RGB", size=LOOK, background=background)
        except NotDecoded as error:
            return str(error)
        return _look(content, image)

    with kept_looks(kept, files.names, background) as looks:

        def read(rows: range) -> list[tuple[int, Stamp | None, Look | str]]:
            found = []
            for row in rows:
                stamp = _stamp(files, row)
                before = looks.before(row, stamp)
                # What is kept already needs no line of its own.
                found.append((row, None, before) if before else (row, stamp, look(row)))
            return found

        for found in in_order(
            read, (range(at, min(at + TOGETHER, count)) for at in range(0, count, TOGETHER)), workers
        ):
            for row, stamp, known in found:
                if stamp and isinstance(known, Look):
                    looks.add(row, stamp, known)
                yield known


def _stamp(files: Files, row: int) -> Stamp | None:
    try:
        return files.stamp(row)
    except OSError:
        return None  # reading it says why


def _arrays(images: Images, count: int) -> Iterator[Look]:
    content = getattr(images, "content", None)
    for start in range(0, count, CHUNK):
        rows_B = np.arange(start, min(start + CHUNK, count))
        for row, image in zip(rows_B.tolist(), images[rows_B], strict=True):
            yield _look(content(row) if content else image.tobytes(), image)


def _look(content: bytes, image_CHW: np.ndarray) -> Look:
    low, high = image_CHW.min(axis=(1, 2)), image_CHW.max(axis=(1, 2))
    flat = bool((high - low <= FLAT).all())
    return Look(hashlib.sha256(content).digest(), flat, bool(image_CHW.mean() < DARK))
