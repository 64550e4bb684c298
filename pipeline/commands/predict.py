"""Classify image files with the exported model alone: no torch.

Legend: N images, B batch, C channels or classes, H = W edge in pixels.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.errors import UserError
from pipeline.base.files import verify
from pipeline.base.kinds import unlike_file
from pipeline.compression.card import BLACK, Card
from pipeline.compression.runtime import Runtime
from pipeline.console.progress import emit, warn
from pipeline.console.text import json_line, named, row
from pipeline.data.ahead import cores, in_order
from pipeline.data.decode import NotDecoded, decode
from pipeline.data.formats import SUFFIXES
from pipeline.lineage import node
from pipeline.models.declared import check_fits
from pipeline.planning import graph

MANY = 100  # images from which on it is said how fast they were answered
OTHERS = (".xml", ".param", ".tflite", ".pt2")  # files for other runtimes
MODES = {1: "L", 3: "RGB"}
BATCH = 16  # images a pass, at most: it decides the last bits, and does not follow from cores or memory


@dataclass(frozen=True)
class Prediction:
    """The likeliest class of an image, and its probability 0 .. 1.

    unsure: Whether that is less than the file needs for what it promises; None of a file that promises nothing.
    """

    path: Path
    name: str
    probability: float
    unsure: bool | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """As text."""
        sure = () if self.unsure is None else ("unsure" if self.unsure else "sure",)
        return (str(self.path), self.name, f"{self.probability:.4f}", *sure)

    @property
    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        sure = {} if self.unsure is None else {"unsure": self.unsure}
        return {"path": str(self.path), "class": self.name, "probability": self.probability} | sure


@dataclass(frozen=True)
class Unreadable:
    """A file that is no image, and why."""

    path: Path
    reason: str


def shipped(top: Path = Path()) -> Path:
    """The file at the end of the compress chain of the last run below `top`.

    Raises:
        UserError: There is none.
    """
    last = node.read(f"compress/{graph.slots(graph.read(top / 'dvc.yaml'), 'compress')[-1]}", top)
    if last.status == "skipped":
        raise UserError(
            "the last run ships no file, as compress was null in params.yaml: give compress with export in its order "
            "and run `dvc repro`, or name a file by --model"
        )
    if last.format != "onnx":
        raise UserError(
            f"the compress chain ends in {last.source}, which is no ONNX file: add export to compress.order in "
            "params.yaml and run `dvc repro`, or name a file by --model"
        )
    return node.checked_weights(last)


def opened(model: Path | None) -> Runtime:
    """The model that answers: a file, or without one what the last run ships.

    Raises:
        UserError: There is none, its content is not what the `node.json` beside it recorded, it needs more memory than
            is free, or it cannot be run.
    """
    path = model or shipped()
    if path.suffix in OTHERS:
        from pipeline.compression.formats.opened import OtherRuntime  # and with it torch

        return OtherRuntime(path)
    if model and model.name == "model.onnx" and (model.parent / "node.json").exists():
        recorded = node.read_at(model.parent).hashes.get("weights")
        verify(model, recorded, f"take {model.parent} anew from where it came, or run `dvc repro`")
    check_fits(path, BATCH)
    return Runtime(path)


def classify(runtime: Runtime, paths: Iterable[Path]) -> Iterator[Prediction | Unreadable]:
    """Classify files, and the images in folders (by their suffix, at any depth, sorted), in order.

    Images are read, made square and scaled as those that the model was trained on. Each core reads a batch of its own
    and answers it, so that none waits for another; as many as memory has room for. A damaged image is yielded as
    `Unreadable`, and the rest goes on.

    Raises:
        UserError: A path does not exist, a folder has no images, or the model takes images that files do not hold.
    """
    card = runtime.card
    mode = MODES.get(card.channels)
    if mode is None:
        raise UserError(f"the model takes images of {card.channels} channels: image files have 1 or 3")
    files = [file for path in paths for file in _files(path)]
    size = min(BATCH, runtime.images_a_pass)
    batches = [files[first : first + size] for first in range(0, len(files), size)]
    for found in in_order(partial(_classified, runtime, mode), batches, runtime.passes_at_once(size, cores())):
        yield from found


def tell(found: Iterable[Prediction | Unreadable], *, as_json: bool) -> int:
    """Print what was found, a line each, and name what is no image; how many those are."""
    answered = unread = 0
    began = time.monotonic()
    for each in found:
        if isinstance(each, Unreadable):
            warn(f"{named(str(each.path))}: skipped, it is no image that can be read ({each.reason})")
            unread += 1
        else:
            emit(json_line(each.as_json) if as_json else row(*each.cells))
            answered += 1
    if answered >= MANY:
        warn(f"{answered:,} images, {answered / (time.monotonic() - began):,.0f} a second")
    return unread


def _classified(runtime: Runtime, mode: str, files: list[Path]) -> list[Prediction | Unreadable]:
    """What a batch of files shows."""
    read = [_open(file, mode, runtime.card) for file in files]
    images = [item for item in read if isinstance(item, np.ndarray)]
    answers = iter(_answers(runtime, np.stack(images)) if images else [])
    return [
        Unreadable(file, item) if isinstance(item, str) else Prediction(file, *next(answers))
        for file, item in zip(files, read, strict=True)
    ]


def _answers(runtime: Runtime, images_BCHW: np.ndarray) -> list[tuple[str, float, bool | None]]:
    card = runtime.card
    shares_BC = runtime.probabilities(images_BCHW, batch_size=len(images_BCHW))
    best_B = [(int(shares_C.argmax()), float(shares_C.max())) for shares_C in shares_BC]
    return [(card.classes[c], share, None if card.threshold is None else share < card.threshold) for c, share in best_B]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and _is_shown(file, path))
        if not found:
            raise UserError(f"{path} has no images: name a folder with files of {', '.join(SUFFIXES)}")
        return found
    if not path.exists() and not path.is_symlink():
        raise UserError(f"{path} does not exist: name an image or a folder of images")
    return [path]


def _is_shown(file: Path, below: Path) -> bool:
    return not file.is_dir() and not any(part.startswith(".") for part in file.relative_to(below).parts)


def _open(path: Path, mode: str, card: Card) -> np.ndarray | str:
    """An image, uint8 (C, H, W), or why there is none."""
    if why := unlike_file(path):
        return f"it {why}"
    try:
        background, framing, margin = card.background or BLACK, card.framing or "crop", card.margin or 0.0
        return decode(path, mode=mode, size=card.size, background=background, framing=framing, margin=margin)
    except NotDecoded as error:
        return str(error)
