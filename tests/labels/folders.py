"""A small label set to take apart."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import save
from torch import Tensor

from pipeline.base.files import digest, read_json, write_bytes
from pipeline.labels.basis import fit
from pipeline.labels.format import encode
from pipeline.labels.kept_basis import SEAL, kept_basis
from pipeline.labels.layout import Format
from pipeline.labels.store import (
    Labels,
    LabelsHeader,
    open_labels,
    stored,
    view_path,
    write_header,
)

COUNT, VIEWS = 23, 2
CLASSES = ("cat", "dog", "emu", "fox")
DATA_HASH = "d" * 64
SPEC: dict[str, Any] = {
    "scheme": 1,
    "seed": 0,
    "stream": "labels",
    "count": COUNT,
    "shift": 1,
    "flip": False,
    "scale": 0.5,
}


def logits(v: int) -> Tensor:
    """The teacher's logits of view `v`: float32 (N, C)."""
    return torch.randn(COUNT, len(CLASSES), generator=torch.Generator().manual_seed(v)) * 5


def header(format: Format, **changes: Any) -> LabelsHeader:
    content = {
        "teacher": "teacher",
        "teacher_hash": "t" * 64,
        "data_hash": DATA_HASH,
        "view_spec": SPEC,
        "classes": CLASSES,
        "count": COUNT,
        "views": VIEWS,
        "format": format,
    }
    return LabelsHeader(**content | changes)


def write_view(folder: Path, v: int, logits_NC: Tensor | Iterable[Tensor], format: Format) -> None:
    """Write the logits of view `v`, whole or in batches of consecutive rows."""
    batches = [logits_NC] if isinstance(logits_NC, Tensor) else list(logits_NC)
    basis = fit(logits(1), format.rank) if format.rank is not None else None
    encoded = [encode(logits_BC, format, basis) for logits_BC in batches]
    whole = {name: torch.cat([part[name] for part in encoded]) for name in encoded[0]}
    write_bytes(view_path(folder, v), save(stored(whole, format, batches[0].shape[1])))


def write(folder: Path, format: Format) -> str:
    """Write the label set; return its hash."""
    folder.mkdir(parents=True, exist_ok=True)
    if kept_basis(folder, format, len(CLASSES), lambda: logits(1)):
        (folder / SEAL).unlink()
    for v in range(VIEWS + 1):
        write_view(folder, v, logits(v), format)
    return write_header(folder, header(format))


def opened(folder: Path, **changes: Any) -> Labels:
    """Open it as whoever knows its hash, whatever it is now."""
    bound = {"recorded": recorded(folder), "data_hash": DATA_HASH, "views": SPEC, "classes": CLASSES}
    return open_labels(folder, **bound | changes)


def recorded(folder: Path) -> str:
    """The hash of a label set as it is now."""
    return digest(read_json(folder / "labels.json"))
