"""`python -m pipeline predict` against onnxruntime fed by Pillow in a plain loop: the same file, pictures and machine.

The loop decodes a picture, crops its middle, resizes it and runs the network, one by one, with whichever number of the
runtime's threads is the faster. Seconds are those on the wall: all cores are there for both. What the cores' computing
allows is a core's seconds by ours, divided by the cores.
"""

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime as ort
from PIL import Image

from benchmarks import store
from benchmarks.measure import Figure, Unit, interleaved, of, ratio
from pipeline.commands.predict import BATCH, classify
from pipeline.compression.card import Card
from pipeline.compression.export_onnx import export
from pipeline.compression.runtime import Runtime
from pipeline.data.ahead import cores
from pipeline.models.build import build

NETWORK = {"family": "torchvision", "name": "mobilenet_v3_small", "pretrained": False}
SMALL = {"family": "plain", "widths": [4]}
ALLOWED = 0.75  # of what the cores' computing allows, at least


@dataclass(frozen=True)
class Pictures:
    """Files of one kind. goal: how many times as fast as the loop they should be answered."""

    name: str
    size: tuple[int, int]
    count: int
    goal: float
    format: str = "JPEG"


KINDS = (
    Pictures("12 megapixels", (4000, 3000), 32, 8),
    Pictures("3 megapixels", (2048, 1536), 64, 8),
    Pictures("1 megapixel", (1200, 900), 96, 3),
    Pictures("500×375", (500, 375), 320, 1.8),
    *(Pictures(f"{name}, 800×600", (800, 600), 96, 1.8, name) for name in ("PNG", "WEBP", "AVIF")),
)
TINY = (Pictures("tiny", (60, 45), 2 * BATCH, 1.8),)


def measure(folder: Path, tiny: bool) -> list[Figure]:
    """Every kind of file."""
    size, rounds = (8, 1) if tiny else (224, 5)
    path = _shipped(folder, size, SMALL if tiny else NETWORK)
    return [each for kind in (TINY if tiny else KINDS) for each in _compared(kind, folder, path, rounds)]


def _compared(kind: Pictures, folder: Path, path: Path, rounds: int) -> Iterator[Figure]:
    files = _made(kind, folder / kind.name)
    runtime = Runtime(path)
    several = sorted({1, cores()})
    arms: dict[str, Unit] = {
        f"loop, {count}": partial(_loop, _session(path, count), runtime.card.size, files) for count in several
    }
    arms["ours"] = partial(_answered, runtime, files)
    alone = Runtime(path)
    alone.passes_at_once = lambda images, most: 1
    arms["one core"] = partial(_answered, alone, files)
    seconds = interleaved(arms, rounds, time.perf_counter)
    best = min(several, key=lambda count: median(seconds[f"loop, {count}"]))
    yield Figure(f"{kind.name}: images/s", len(files) / median(seconds["ours"]), note=f"{cores()} cores")
    yield replace(
        ratio(f"{kind.name}: loop ÷ ours", seconds, f"loop, {best}", "ours", goal=kind.goal, most=False),
        note=f"{best} of the runtime's threads",
    )
    shares = [one / (cores() * both) for one, both in zip(seconds["one core"], seconds["ours"], strict=True)]
    yield of(f"{kind.name}: of what the cores' computing allows", shares, goal=ALLOWED, most=False)


def _answered(runtime: Runtime, files: list[Path]) -> None:
    assert len([*classify(runtime, files)]) == len(files)


def _session(path: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(str(path), options)


def _loop(session: ort.InferenceSession, size: int, files: list[Path]) -> None:
    for file in files:
        with Image.open(file) as opened:
            image = opened.convert("RGB")
        edge = min(image.size)
        left, top = (image.width - edge) // 2, (image.height - edge) // 2
        square = image.crop((left, top, left + edge, top + edge)).resize((size, size), Image.Resampling.BILINEAR)
        pixels = np.asarray(square, np.float32).transpose(2, 0, 1)[None] / 255
        session.run(["logits"], {"pixels": pixels})


def _made(kind: Pictures, folder: Path) -> list[Path]:
    """So many pictures, a few of them different."""
    folder.mkdir(parents=True)
    files = []
    for number in range(kind.count):
        path = folder / f"{number:04}.{kind.format.lower()}"
        if number < store.PICTURES // 8:
            content = store.photograph(number, kind.size)
            if kind.format != "JPEG":
                made = io.BytesIO()
                Image.open(io.BytesIO(content)).save(made, kind.format)
                content = made.getvalue()
        else:
            content = files[number % (store.PICTURES // 8)].read_bytes()
        path.write_bytes(content)
        files.append(path)
    return files


def _shipped(folder: Path, size: int, architecture: dict[str, object]) -> Path:
    classes = tuple(f"class {number}" for number in range(10))
    card = Card(classes, (0.5,) * 3, (0.25,) * 3, 3, size, "crop", 0.0)
    export(build(architecture, channels=3, size=size, classes=len(classes)).eval(), folder / "model.onnx", card)
    return folder / "model.onnx"
