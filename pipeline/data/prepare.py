"""From a source to the prepared folder: every image is read and looked at, rows are chosen, images are written."""

from __future__ import annotations

import importlib
import io
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.base.files import digest, replacing, sha256, write_bytes, write_json, write_sealed
from pipeline.base.paths import DATA, resolve
from pipeline.config.extension import SOURCES
from pipeline.data.decode import GAP
from pipeline.data.examine import examine, refuse_unreadable
from pipeline.data.groups import grouped
from pipeline.data.halves import UNITS
from pipeline.data.images import Files, Source, names_of
from pipeline.data.keeping import Keeping
from pipeline.data.kept_looks import looks_file
from pipeline.data.left_out import LEFT_OUT
from pipeline.data.names import SPLITS
from pipeline.data.origins import Origins, write_origins
from pipeline.data.prepared import HEADER, LABELS, SCHEMA, TRUE_LABELS, WEIGHTS, DataHeader
from pipeline.data.remarks import left_out, remarks
from pipeline.data.splits import Chosen, choose
from pipeline.data.writing import Undecodable, Written, write_splits

if TYPE_CHECKING:
    # The type only: a changed default is in the spec, not in the code that obeys it.
    from pipeline.config.data import Data


def write(data: Data, seed: int, origins: bool = False, keeping: Keeping | None = None) -> dict[str, Any]:
    """Prepare the images that `data` names as `artifacts/data`; its header."""
    with replacing(DATA) as folder:
        folder.mkdir()
        return prepare(data, resolve(data.root), seed, folder, origins, keeping)


def prepare(
    data: Data, root: Path, seed: int, out: Path, origins: bool = False, keeping: Keeping | None = None
) -> dict[str, Any]:
    """Write the prepared folder `out` (see `pipeline.data.prepared`) and return its header.

    Args:
        data: What to read, and how to divide it.
        root: `data.root`, resolved.
        seed: Of the splits, the subset and the noise.
        out: The folder.
        origins: Whether to write where each image came from, in a file of its own, which changes no other.
        keeping: Where work is kept, and who hears of it.

    Raises:
        UserError: The source is unusable, files cannot be read, or a class has too few images.
    """
    keeping = keeping or Keeping()
    source = grouped(load(data, root), data.group)
    written, chosen, missing = _written(source, data, root, seed, out, keeping)
    names, rows = source.classes, chosen.rows
    arrays = {
        LABELS["train"]: chosen.labels,
        LABELS["validation"]: source.labels[rows["validation"]],
        LABELS["test"]: source.labels[rows["test"]],
        TRUE_LABELS: chosen.true_labels,
    }
    if source.weights is not None:
        arrays[WEIGHTS] = source.weights[rows["train"]]
    if chosen.units is not None:
        arrays[UNITS] = chosen.units
    for name, array in arrays.items():
        # Through memory: numpy's own error of a full disk does not name it.
        content_bytes = io.BytesIO()
        np.save(content_bytes, array, allow_pickle=False)
        write_bytes(out / name, content_bytes.getvalue())
    beside = [*arrays]
    if missing:
        write_json(out / LEFT_OUT, missing)
        beside.append(LEFT_OUT)
    content = written.files | {name: sha256(out / name) for name in beside}
    # Which images belong together, or are not there, changes none of them, and no label that is stored of them.
    images = {name: found for name, found in content.items() if name not in (UNITS, LEFT_OUT)}
    bound = {"files": images, "classes": names, "mean": written.mean, "std": written.std}
    if written.storage == "encoded":
        bound |= {"decoded to": written.shapes["train"][1:], "background": data.background}
    header = DataHeader(
        schema=SCHEMA,
        source=data.source,
        storage=written.storage,
        store_size=written.store_size,
        decoders=written.decoders,
        background=data.background,
        jpeg_scale=GAP if data.size and isinstance(source.images, Files) else None,
        classes=names,
        shapes=written.shapes,
        counts={split: written.shapes[split][0] for split in SPLITS},
        dtype="uint8",
        mean=written.mean,
        std=written.std,
        label_noise=data.label_noise,
        relabelled=int((chosen.labels != chosen.true_labels).sum()),
        files=content,
        hash=digest(bound),
        unlabelled=int((chosen.labels < 0).sum()),
    )
    # Left out where all have a label, so that their data.json is as it was.
    recorded = {key: value for key, value in asdict(header).items() if key != "unlabelled" or value}
    write_sealed(out / HEADER, recorded)
    if origins:
        paths = names_of(source.images)
        write_origins(out, header.hash, Origins({**rows}, len(source.labels), None if paths is None else tuple(paths)))
    return recorded


def load(data: Data, root: Path) -> Source:
    """Return the source that `data.source` names; arrays scaled to `data.size` and grey where `data.grayscale`.

    root: `data.root`, resolved. Raises `UserError` where nothing usable lies there.
    """
    handed = SOURCES.handed(data.source, {"root": root, "size": data.size, "grayscale": data.grayscale})
    # By name, so that the stage depends on the code of its own source only.
    return importlib.import_module(f"pipeline.data.sources.{data.source}").load(*handed, **data.settings)


def _written(
    source: Source, data: Data, root: Path, seed: int, out: Path, keeping: Keeping
) -> tuple[Written, Chosen, list[str]]:
    """Look at all images, choose rows, and write their images, once more without those that cannot be decoded.

    The sentences are of what is left out.
    """
    kept = (
        looks_file(keeping.state(), data.source, root) if keeping.state and isinstance(source.images, Files) else None
    )
    examined = examine(source, data.background, kept, keeping)
    out.mkdir(parents=True, exist_ok=True)
    said: set[str] = set()
    while True:
        if data.unreadable == "refuse":
            refuse_unreadable(source, examined.faults)
        chosen = choose(source, examined.ids, data, seed, [*examined.faults])
        missing = [*left_out(source, examined, chosen.rows)]
        for sentence in (*missing, *remarks(source, examined, chosen.rows)):
            if sentence not in said:
                keeping.log(f"prepare: {sentence}")
            said.add(sentence)
        try:
            return write_splits(out, source.images, chosen.rows, examined.ids, data, keeping), chosen, missing
        except Undecodable as error:  # what was seen of them before was another file, or seen by less
            examined.faults.update(error.found)
