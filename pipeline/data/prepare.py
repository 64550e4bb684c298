"""From a source to the prepared folder: every image is read and looked at, rows are chosen, pixels are written."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.base.errors import UserError
from pipeline.base.files import digest, replacing, sha256, write_bytes, write_sealed
from pipeline.base.paths import DATA, resolve
from pipeline.config.extension import SOURCES
from pipeline.data.decode import NotDecoded, decode
from pipeline.data.examine import Showing, examine, refuse_unreadable, silent, unsaid
from pipeline.data.groups import grouped
from pipeline.data.images import Decoded, Files, Images, Source, names_of
from pipeline.data.names import SPLITS, SplitName
from pipeline.data.origins import Origins, write_origins
from pipeline.data.prepared import HEADER, IMAGES, LABELS, SCHEMA, TRUE_LABELS, DataHeader
from pipeline.data.remarks import remarks
from pipeline.data.splits import choose

if TYPE_CHECKING:
    # The type only: a changed default is in the spec, not in the code that obeys it.
    from pipeline.config.data import Data

CHUNK_BYTES = 2**24  # of pixels in memory at a time
LOOKS = "looks"  # beside the training state: what was found of image files
STD_FLOOR = 1e-3  # of a channel that (almost) never varies; a quarter of one grey level


def write(
    data: Data,
    seed: int,
    origins: bool = False,
    *,
    kept: Path | None = None,
    showing: Showing = silent,
    say: Callable[[str], object] = unsaid,
) -> dict[str, Any]:
    """Prepare the images that `data` names as `artifacts/data`; its header. kept, showing, say: as of `prepare`."""
    with replacing(DATA) as folder:
        folder.mkdir()
        return prepare(data, resolve(data.root), seed, folder, origins, kept=kept, showing=showing, say=say)


def prepare(
    data: Data,
    root: Path,
    seed: int,
    out: Path,
    origins: bool = False,
    *,
    kept: Path | None = None,
    showing: Showing = silent,
    say: Callable[[str], object] = unsaid,
    workers: int | None = None,
) -> dict[str, Any]:
    """Write the prepared folder `out` (see `pipeline.data.prepared`) and return its header.

    Args:
        data: What to read, and how to divide it.
        root: `data.root`, resolved.
        seed: Of the splits, the subset and the noise.
        out: The folder.
        origins: Whether to write where each image came from, in a file of its own, which changes no other.
        kept: A folder in which what was found of image files is kept from one run to the next.
        showing: Shows how many images are done.
        say: Takes a sentence on what is left out, or looks like a mistake.
        workers: Threads that read and decode; None: a core each.

    Raises:
        UserError: The source is unusable, files cannot be read, or a class has too few images.
    """
    source = grouped(load(data, root), data.group)
    looks = kept and kept / f"{digest([data.source, str(root)])}.looks"
    examined = examine(source, data.background, looks, showing, workers)
    if data.unreadable == "refuse":
        refuse_unreadable(source, examined.faults)
    chosen = choose(source, examined.ids, data, seed, [*examined.faults])
    for sentence in remarks(source, examined, chosen.rows):
        say(f"prepare: {sentence}")
    names, rows, noisy_labels = source.classes, chosen.rows, chosen.labels
    images = decoded(source, data, rows)

    out.mkdir(parents=True, exist_ok=True)
    shapes: dict[SplitName, tuple[int, int, int, int]] = {
        split: write_images(out / IMAGES[split], images, rows[split]) for split in SPLITS
    }
    arrays = {
        LABELS["train"]: noisy_labels,
        LABELS["validation"]: source.labels[rows["validation"]],
        LABELS["test"]: source.labels[rows["test"]],
        TRUE_LABELS: chosen.true_labels,
    }
    for name, array in arrays.items():
        # Through memory: numpy's own error of a full disk does not name it.
        content_bytes = io.BytesIO()
        np.save(content_bytes, array, allow_pickle=False)
        write_bytes(out / name, content_bytes.getvalue())
    mean, std = statistics(np.load(out / IMAGES["train"], mmap_mode="r"))
    content = {name: sha256(out / name) for name in (*IMAGES.values(), *arrays)}
    header = DataHeader(
        schema=SCHEMA,
        source=data.source,
        classes=names,
        shapes=shapes,
        counts={split: shapes[split][0] for split in SPLITS},
        dtype="uint8",
        mean=mean,
        std=std,
        label_noise=data.label_noise,
        relabelled=int((noisy_labels != chosen.true_labels).sum()),
        files=content,
        hash=digest({"files": content, "classes": names, "mean": mean, "std": std}),
    )
    write_sealed(out / HEADER, asdict(header))
    if origins:
        paths = names_of(source.images)
        write_origins(out, header.hash, Origins({**rows}, len(source.labels), None if paths is None else tuple(paths)))
    return asdict(header)


def load(data: Data, root: Path) -> Source:
    """Return the source that `data.source` names; arrays scaled to `data.size` and grey where `data.grayscale`.

    root: `data.root`, resolved. Raises `UserError` where nothing usable lies there.
    """
    handed = SOURCES.handed(data.source, {"root": root, "size": data.size, "grayscale": data.grayscale})
    # By name, so that the stage depends on the code of its own source only.
    return importlib.import_module(f"pipeline.data.sources.{data.source}").load(*handed, **data.settings)


def decoded(source: Source, data: Data, rows: Mapping[SplitName, np.ndarray]) -> Images:
    """The images of a source as squares of one size: `data.size`, else that of the first one.

    Raises:
        UserError: Without `data.size`, an image is not square, or of another size; that of which it is, when asked for.
    """
    files = source.images
    if not isinstance(files, Files):
        return files
    mode, names = "L" if data.grayscale else "RGB", files.names

    def picture(row: int) -> np.ndarray:
        try:
            return decode(files.read(row), mode=mode, size=data.size, background=data.background)
        except (NotDecoded, OSError) as error:
            raise UserError(f"{names[row]} under data.root can no longer be read ({error}): run again") from None

    first = int(min(rows_N[0] for rows_N in rows.values()))
    _, edge, width = picture(first).shape
    if edge != width:
        raise UserError(
            f"{names[first]} is {width}x{edge} pixels and not square: "
            "set data.size in params.yaml, so that all images are scaled and cropped to one size"
        )

    def square(row: int) -> np.ndarray:
        pixels_CHW = picture(row)
        _, height, width = pixels_CHW.shape
        if (height, width) != (edge, edge):
            raise UserError(
                f"{names[row]} is {width}x{height} pixels and others are {edge}x{edge}: "
                "set data.size in params.yaml, so that all are scaled to one size"
            )
        return pixels_CHW

    return Decoded((len(names), len(mode), edge, edge), square)


def write_images(path: Path, images: Images, rows_N: np.ndarray) -> tuple[int, int, int, int]:
    """Write those rows as uint8 (N, C, H, W) in the .npy format, a chunk at a time; return that shape.

    Written rather than filled through a memory map, where a full disk would end the process without a word.
    """
    shape = (len(rows_N), *images.shape[1:])
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for chunk in _chunks(shape):
            file.write(np.ascontiguousarray(images[rows_N[chunk]]).data)
    return shape


def statistics(images_NCHW: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of uint8 pixels / 255 per channel, a chunk at a time.

    Computed from counts of the 256 values in whole numbers, so that neither chunks nor rounding show.
    A deviation below `STD_FLOOR` is raised to it: normalising divides by it.
    """
    counts_CP = np.zeros((images_NCHW.shape[1], 256), dtype=np.int64)
    for chunk in _chunks(images_NCHW.shape):
        for counts_P, values in zip(counts_CP, images_NCHW[chunk].swapaxes(0, 1), strict=True):
            counts_P += np.bincount(values.ravel(), minlength=256)
    mean, std = [], []
    for counts_P in counts_CP.tolist():
        number = sum(counts_P)
        total = sum(value * count for value, count in enumerate(counts_P))
        squares = sum(value * value * count for value, count in enumerate(counts_P))
        mean.append(total / number / 255)
        std.append(max((number * squares - total * total) ** 0.5 / number / 255, STD_FLOOR))
    return tuple(mean), tuple(std)


def _chunks(shape: tuple[int, ...]) -> Iterator[slice]:
    count, *image = shape
    step = max(1, CHUNK_BYTES // int(np.prod(image)))
    return (slice(start, start + step) for start in range(0, count, step))
