"""Images that lie compressed in shards, decoded when they are asked for, by threads.

Legend: N images, B rows asked for, C channels (1 or 3), H, W height and width in pixels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from pipeline.base.errors import UserError
from pipeline.base.files import verify
from pipeline.data.ahead import cores
from pipeline.data.decode import WHITE, Colour, NotDecoded, Seen, decode, read, upright
from pipeline.data.shards import shard_name

if TYPE_CHECKING:
    from PIL import Image

SHARDS = "shards"
MODES = {1: "L", 3: "RGB"}


class Shards:
    """The shards of a prepared folder, for all of its splits; each is hashed once, when something is first read of it.

    folder: where they lie. recorded: the SHA-256 of each by its path below the prepared folder; None where they have
    just been written.
    """

    def __init__(self, folder: Path, recorded: Mapping[str, str] | None) -> None:
        self.folder = folder
        self._recorded = recorded
        self._locks: dict[int, Lock] = {}
        self._checked: set[int] = set()
        self._lock = Lock()

    def read(self, shard: int, offset: int, length: int) -> bytes:
        """Bytes of one shard; threads call it.

        Raises:
            UserError: The shard is missing, cannot be read, or is not the one that the header records.
        """
        self.verify(shard)
        path = self.folder / shard_name(shard)
        with _readable(path):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                return os.pread(descriptor, length, offset)
            finally:
                os.close(descriptor)

    def verify(self, shard: int) -> None:
        """Hash a shard, if nothing was read of it yet.

        Raises:
            UserError: As of `read`.
        """
        if self._recorded is None or shard in self._checked:
            return
        path = self.folder / shard_name(shard)
        with self._lock:
            own = self._locks.setdefault(shard, Lock())
        with own, _readable(path):  # of several threads one reads it, the others wait
            if shard not in self._checked:
                verify(path, self._recorded.get(f"{SHARDS}/{path.name}"), _again(path))
                self._checked.add(shard)


class EncodedImages:
    """The images of a split: `images[rows]` is uint8 (B, C, size, size), whatever the number of threads.

    Args:
        shards: Where they lie.
        places: Where in them, `PLACE` (N,).
        channels: 1 or 3.
        size: Edge in pixels.
        threads: That decode; None for all cores.
        background: Of what is transparent.
    """

    def __init__(
        self,
        shards: Shards,
        places: np.ndarray,
        channels: int,
        size: int,
        threads: int | None = None,
        background: Colour = WHITE,
    ) -> None:
        self._shards = shards
        self._places = places
        self._mode = MODES[channels]
        self._size = size
        self.background = background
        self.threads = threads or cores()
        self._pool = ThreadPoolExecutor(self.threads)  # none begins before it is needed, and those are kept
        self.shape = (len(places), channels, size, size)
        self.dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def nbytes(self) -> int:
        """Bytes of all images once they are decoded."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def sizes(self) -> np.ndarray:
        """Width and height of each stored image in pixels, int64 (N, 2)."""
        return np.stack([self._places["width"], self._places["height"]], axis=1).astype(np.int64)

    @property
    def folder(self) -> Path:
        """Where their shards lie."""
        return self._shards.folder

    def places(self, rows_B: np.ndarray) -> np.ndarray:
        """Where some of them lie in which shard, `PLACE` (B,)."""
        return self._places[rows_B]

    def verify(self, rows_B: np.ndarray) -> None:
        """Hash their shards, those of which nothing was read yet.

        Raises:
            UserError: A shard is not what was prepared.
        """
        for shard in np.unique(self._places["shard"][rows_B]).tolist():
            self._shards.verify(shard)

    def content(self, row: int) -> bytes:
        """A stored image as it lies there: a JPEG, PNG or WebP file."""
        place = self._places[row]
        return self._shards.read(int(place["shard"]), int(place["offset"]), int(place["bytes"]))

    def picture(self, row: int) -> np.ndarray:
        """A stored image whole, at its own size: uint8 (C, H, W)."""
        return self._decode(row, None)

    def shown(self, row: int, use: Callable[[Image.Image], Seen]) -> Seen:
        """What `use` makes of a stored image as Pillow has it, of mode L or RGB; it may keep a copy, not the image."""

        def whole(picture: Image.Image) -> Seen:
            return use(upright(picture, mode=self._mode, background=self.background))

        return self._decoded(row, lambda content: read(content, whole))

    def __getitem__(self, rows: int | slice | list[int] | np.ndarray) -> np.ndarray:
        """Images by row number, uint8 (C, size, size) of one and (B, C, size, size) of several."""
        if isinstance(rows, int | np.integer):
            return self._decode(int(rows), self._size)
        rows_B = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else np.asarray(rows)
        images_BCHW = np.empty((len(rows_B), *self.shape[1:]), dtype=np.uint8)

        def fill(at: int) -> None:
            images_BCHW[at] = self._decode(int(rows_B[at]), self._size)

        self.in_threads(fill, len(rows_B))
        return images_BCHW

    def in_threads(self, work: Callable[[int], None], count: int) -> None:
        """Do `work` of each number below `count`, by the threads that decode, in any order."""

        def several(start: int) -> None:
            for at in range(start, min(start + step, count)):
                work(at)

        step = max(1, min(16, count // self.threads))
        starts = range(0, count, step)
        if self.threads == 1 or len(starts) < 2:
            for start in starts:
                several(start)
        else:
            for _ in self._pool.map(several, starts):
                pass

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        """All of them, decoded: `np.array(images)`."""
        if copy is False:
            raise ValueError("encoded images are no array before they are decoded")
        return self[:].astype(dtype or np.uint8, copy=False)

    def _decode(self, row: int, size: int | None) -> np.ndarray:
        return self._decoded(
            row, lambda content: decode(content, mode=self._mode, size=size, background=self.background)
        )

    def _decoded(self, row: int, by: Callable[[bytes], Seen]) -> Seen:
        try:
            return by(self.content(row))
        except NotDecoded as error:
            place = self._places[row]
            raise UserError(
                f"an image of {shard_name(int(place['shard']))} cannot be decoded here ({error}): delete "
                "artifacts/data and run `dvc repro`"
            ) from None


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {_again(path)}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): {_again(path)}") from None


def _again(path: Path) -> str:
    return f"delete {path.parent.parent} and run `dvc repro`"
