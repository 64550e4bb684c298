"""The prepared images, written: as one array of pixels a split, or encoded in shards that all splits share.

Legend: N images, C channels (1 or 3), H = W edge in pixels, P values of a pixel.
"""

from __future__ import annotations

import heapq
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.base.errors import UserError
from pipeline.base.files import digest, sha256
from pipeline.base.links import link_or_copy
from pipeline.data.ahead import in_order
from pipeline.data.decode import WHITE, Colour, NotDecoded, decode
from pipeline.data.decoders import decoders
from pipeline.data.encoded import SHARDS, EncodedImages, Shards
from pipeline.data.encoding import encoded
from pipeline.data.images import Files, Images, content_of
from pipeline.data.keeping import Keeping
from pipeline.data.kept_images import KeptImages, kept_images
from pipeline.data.names import SplitName
from pipeline.data.prepared import IMAGES, ROWS, Shape, Storage
from pipeline.data.shards import PLACE, Bucket, Shard, Stored, bucket_of, buckets, shard_name
from pipeline.data.splits import ID

if TYPE_CHECKING:
    # The type only: a changed default is in the spec, not in the code that obeys it.
    from pipeline.config.data import Data

CHUNK_BYTES = 2**24  # of pixels in memory at a time
STD_FLOOR = 1e-3  # of a channel that (almost) never varies; a quarter of one grey level
LARGEST_PIXELS = 64  # edge in pixels up to which `auto` stores pixels: compressed, such images are hardly smaller
SAMPLE = 10_000  # images that mean and deviation are taken from where images are encoded


class Undecodable(Exception):
    """Files of which no picture can be made: `found` has the row of each, and why.

    All others are encoded by then and kept, so that to write again, without these or after mending them, is quick.
    """

    def __init__(self, found: Sequence[tuple[int, str]]) -> None:
        super().__init__(f"{len(found)} files cannot be decoded")
        self.found = tuple(found)


@dataclass(frozen=True)
class Written:
    """What the header needs to know of the images. files: SHA-256 by path below the folder."""

    storage: Storage
    store_size: int | None
    decoders: dict[str, str]
    shapes: dict[SplitName, Shape]
    files: dict[str, str]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def write_splits(
    out: Path,
    images: Images | Files,
    rows: Mapping[SplitName, np.ndarray],
    ids_N: np.ndarray,
    data: Data,
    keeping: Keeping | None = None,
) -> Written:
    """Write the images of all splits into the folder `out`.

    Args:
        out: The prepared folder, which is there.
        images: Of the source.
        rows: Of each split, the rows of the source, int64 (N,).
        ids_N: SHA-256 of the bytes of each row of the source, uint8 (N, 32).
        data: The section of params.yaml.
        keeping: Where encoded images are kept, and who hears of it.

    Raises:
        Undecodable: Files that cannot be decoded, all of them.
        UserError: Images differ in size and `data.size` is null, or `data.storage` does not suit the source.
    """
    storage = _storage(images, data)
    keeping = keeping or Keeping()
    if storage == "encoded":
        assert isinstance(images, Files) and data.size is not None
        return _write_encoded(out, images, rows, ids_N, data, keeping)
    mode = "L" if data.grayscale else "RGB"
    opened: Images
    if isinstance(images, Files):
        first = min(int(rows_N[0]) for rows_N in rows.values())
        opened = FilePixels(images, first, mode, data.size, data.background, keeping.workers)
    else:
        opened = images
    shapes: dict[SplitName, Shape] = {}
    for split, rows_N in rows.items():
        with keeping.showing(f"of {split} written", len(rows_N)) as show:
            shapes[split] = write_images(out / IMAGES[split], opened, rows_N, show)
    if isinstance(opened, FilePixels) and opened.unreadable:
        raise Undecodable(sorted(opened.unreadable))
    mean, std = statistics(np.load(out / IMAGES["train"], mmap_mode="r"))
    hashes = {IMAGES[split]: sha256(out / IMAGES[split]) for split in rows}
    return Written("pixels", None, {}, shapes, hashes, mean, std)


class FilePixels:
    """Files as an array of images; those that cannot be decoded are noted in `unreadable`, and black.

    Args:
        files: The files.
        first: Row of one, of whose size all are where `size` is None.
        mode: "L" or "RGB".
        size: Edge in pixels that they are scaled to; None leaves them as they are.
        background: Of what is transparent.
        threads: That decode.
    """

    def __init__(
        self, files: Files, first: int, mode: str, size: int | None, background: Colour = WHITE, threads: int = 1
    ) -> None:
        self._files = files
        self._mode = mode
        self._size = size
        self._background = background
        self._threads = threads
        self._edge = size or self._edge_of(first)
        self.unreadable: list[tuple[int, str]] = []
        self.shape = (len(files.names), len(mode), self._edge, self._edge)

    def __getitem__(self, rows_B: np.ndarray, /) -> np.ndarray:
        images_BCHW = np.zeros((len(rows_B), *self.shape[1:]), dtype=np.uint8)

        def fill(at: int) -> None:
            row = int(rows_B[at])
            try:
                pixels_CHW = self._decode(row)
            except NotDecoded as error:
                self.unreadable.append((row, str(error)))
                return
            _, height, width = pixels_CHW.shape
            if (height, width) != (self._edge, self._edge):
                raise UserError(
                    f"{self._files.names[row]} is {width}x{height} pixels and others are {self._edge}x{self._edge}: "
                    "set data.size in params.yaml, so that all are scaled to one size"
                )
            images_BCHW[at] = pixels_CHW

        with ThreadPoolExecutor(self._threads) as pool:
            for _ in pool.map(fill, range(len(rows_B))):
                pass
        return images_BCHW

    def _decode(self, row: int) -> np.ndarray:
        return decode(content_of(self._files, row), mode=self._mode, size=self._size, background=self._background)

    def _edge_of(self, row: int) -> int:
        try:
            _, height, width = self._decode(row).shape
        except NotDecoded as error:
            raise Undecodable([(row, str(error))]) from None
        if height != width:
            raise UserError(
                f"{self._files.names[row]} is {width}x{height} pixels and not square: "
                "set data.size in params.yaml, so that all images are scaled and cropped to one size"
            )
        return height


def write_images(
    path: Path, images: Images, rows_N: np.ndarray, show: Callable[[int], None] = lambda done: None
) -> Shape:
    """Write those rows as uint8 (N, C, H, W) in the .npy format, a chunk at a time; return that shape.

    show: given how many are written.

    Written rather than filled through a memory map, where a full disk would end the process without a word.
    """
    _, *image = images.shape
    shape = (len(rows_N), image[0], image[1], image[2])
    with _array(path, "|u1", shape) as put:
        for chunk in _chunks(shape):
            put(np.ascontiguousarray(images[rows_N[chunk]]))
            show(min(chunk.stop, len(rows_N)))
    return shape


def statistics(images_NCHW: np.ndarray | EncodedImages, rows_N: np.ndarray | None = None) -> tuple[Any, Any]:
    """Mean and standard deviation of uint8 pixels / 255 per channel, a chunk at a time, each a tuple of floats (C,).

    rows_N: the images to look at, all of them without.

    Computed from counts of the 256 values in whole numbers, so that neither chunks nor rounding show.
    A deviation below `STD_FLOOR` is raised to it: normalising divides by it.
    """
    counts_CP = np.zeros((images_NCHW.shape[1], 256), dtype=np.int64)
    looked = images_NCHW.shape if rows_N is None else (len(rows_N), *images_NCHW.shape[1:])
    for chunk in _chunks(looked):
        images_BCHW = images_NCHW[chunk if rows_N is None else rows_N[chunk]]
        for counts_P, values in zip(counts_CP, images_BCHW.swapaxes(0, 1), strict=True):
            counts_P += np.bincount(values.ravel(), minlength=256)
    mean, std = [], []
    for counts_P in counts_CP.tolist():
        number = sum(counts_P)
        total = sum(value * count for value, count in enumerate(counts_P))
        squares = sum(value * value * count for value, count in enumerate(counts_P))
        mean.append(total / number / 255)
        std.append(max((number * squares - total * total) ** 0.5 / number / 255, STD_FLOOR))
    return tuple(mean), tuple(std)


def store_size(data: Data) -> int:
    """Short side of encoded images in pixels: `data.store_size`, else 1.5 times `data.size`, rounded up."""
    assert data.size is not None
    return data.store_size or -(-3 * data.size // 2)


def _storage(images: Images | Files, data: Data) -> Storage:
    """What `data.storage` means for these images."""
    if data.storage == "auto":
        large = data.size is not None and data.size > LARGEST_PIXELS
        return "encoded" if large and isinstance(images, Files) else "pixels"
    if data.storage == "encoded" and not isinstance(images, Files):
        raise UserError(
            f"data.storage encoded keeps image files, and data.source {data.source} has none: set it to auto or pixels"
        )
    return data.storage


def _write_encoded(
    out: Path,
    files: Files,
    rows: Mapping[SplitName, np.ndarray],
    ids_N: np.ndarray,
    data: Data,
    keeping: Keeping,
) -> Written:
    assert data.size is not None
    versions, short = decoders(), store_size(data)
    settings = {"store_size": short, "decoders": versions, "code": keeping.code, "background": data.background}
    used_N = np.unique(np.concatenate([*rows.values()]))
    # Equal files are stored once: `first_M` has a row of each of the M contents, `which_N` the content of each row.
    contents_M, first_M, which_N = np.unique(
        np.ascontiguousarray(ids_N[used_N]).view(f"V{ID}").ravel(), return_index=True, return_inverse=True
    )
    (out / SHARDS).mkdir()
    with _kept(out, digest(settings), keeping) as kept, keeping.showing("encoded", len(contents_M)) as show:
        writer = _Writer(out / SHARDS, files, kept, short, data.background, keeping.workers, show)
        try:
            places_M, shards = writer.write([id.tobytes().hex() for id in contents_M], used_N[first_M])
        except Undecodable:
            shutil.rmtree(out / SHARDS)
            raise
    channels = 1 if data.grayscale else 3
    hashes = {f"{SHARDS}/{name}": found for name, found in shards.items()}
    shapes: dict[SplitName, Shape] = {}
    for split, rows_N in rows.items():
        places_N = places_M[which_N[np.searchsorted(used_N, rows_N)]]
        with _array(out / ROWS[split], PLACE.descr, places_N.shape) as put:
            put(places_N)
        hashes[ROWS[split]] = sha256(out / ROWS[split])
        shapes[split] = (len(rows_N), channels, data.size, data.size)
    train_N = rows["train"]
    # Those of the least ids: one more image changes one of them at most.
    sample = heapq.nsmallest(SAMPLE, range(len(train_N)), key=lambda at: (ids_N[train_N[at]].tobytes(), at))
    places_N = np.load(out / ROWS["train"], mmap_mode="r")
    images = EncodedImages(Shards(out / SHARDS, None), places_N, channels, data.size, keeping.workers, data.background)
    mean, std = statistics(images, np.sort(np.array(sample)))
    return Written("encoded", short, versions, shapes, hashes, mean, std)


class _Writer:
    """Writes the shards of a store, one after the other, each by all threads."""

    def __init__(
        self,
        folder: Path,
        files: Files,
        kept: KeptImages,
        short: int,
        background: Colour,
        threads: int,
        show: Callable[[int], None],
    ) -> None:
        self._folder = folder
        self._files = files
        self._kept = kept
        self._short = short
        self._background = background
        self._threads = threads
        self._show = show
        self._unreadable: list[tuple[int, str]] = []
        self._done = 0

    def write(self, ids_M: list[str], rows_M: np.ndarray) -> tuple[np.ndarray, dict[str, str]]:
        """Where each of the contents lies, `PLACE` (M,), and the SHA-256 of each shard by its name.

        ids_M: sorted. rows_M: a row of the source that has each.
        """
        into = buckets(len(ids_M))
        number_M = np.array([bucket_of(id, len(into)) for id in ids_M])
        places_M, shards = np.zeros(len(ids_M), dtype=PLACE), dict[str, str]()
        order = np.argsort(number_M, kind="stable")
        ends = np.searchsorted(number_M[order], np.arange(len(into)), side="right")
        for bucket, members in zip(into, np.split(order, ends[:-1]), strict=True):
            row_of = {ids_M[at]: int(rows_M[at]) for at in members}
            found = self._kept.shard(bucket, [*row_of]) or self._encode(bucket, row_of)
            if found:
                path, shard = found
                link_or_copy(path, self._folder / shard_name(bucket.number))
                places_M[members] = shard.places
                places_M["shard"][members] = bucket.number
                shards[shard_name(bucket.number)] = shard.sha256
            self._done += len(members)
            self._show(self._done)
        if self._unreadable:
            raise Undecodable(sorted(self._unreadable))
        return places_M, shards

    def _encode(self, bucket: Bucket, row_of: Mapping[str, int]) -> tuple[Path, Shard] | None:
        """A shard made anew, of what is kept of its images and of what is not; None where one cannot be decoded."""
        have = self._kept.images(bucket, {*row_of})
        before = len(self._unreadable)

        def stored(id: str) -> Stored | NotDecoded:
            try:
                return have.pop(id, None) or encoded(
                    id, content_of(self._files, row_of[id]), self._short, self._background
                )
            except NotDecoded as error:
                return error

        def readable() -> Iterator[Stored]:
            whole = zip(row_of, in_order(stored, row_of, self._threads), strict=True)
            for done, (id, made) in enumerate(whole):
                if isinstance(made, Stored):
                    yield made
                else:
                    self._unreadable.append((row_of[id], str(made)))
                self._show(self._done + done)

        made = self._kept.add(bucket, readable())
        return made if len(self._unreadable) == before else None


@contextmanager
def _kept(out: Path, settings: str, keeping: Keeping) -> Iterator[KeptImages]:
    """The kept images; where none are to be kept, a folder of this run."""
    if keeping.state is not None:
        with kept_images(keeping.state(), settings, keeping.log) as kept:
            yield kept
        return
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
    try:
        with kept_images(folder, settings, keeping.log) as kept:
            yield kept
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _array(path: Path, descr: Any, shape: tuple[int, ...]) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that appends values to a new .npy file; not `np.save`, whose error of a full disk names none."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})

        def put(values: np.ndarray) -> None:
            file.write(np.ascontiguousarray(values).view(np.uint8).data)

        yield put


def _chunks(shape: tuple[int, ...]) -> Iterator[slice]:
    count, *image = shape
    step = max(1, CHUNK_BYTES // int(np.prod(image)))
    return (slice(start, start + step) for start in range(0, count, step))
