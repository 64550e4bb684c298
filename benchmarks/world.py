"""What benchmarks train on: prepared images, networks, trainings, labels, all made on the spot.

Pixels and labels are drawn at random: what an epoch costs does not depend on what is in the picture.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline.base.files import digest, read_json
from pipeline.config.views import Views
from pipeline.data.batches import Pixels
from pipeline.data.encoded import SHARDS, EncodedImages, Shards
from pipeline.data.encoding import QUALITY
from pipeline.data.feed import fed
from pipeline.data.prepared import Prepared, Split
from pipeline.data.rows import Rows
from pipeline.data.shards import Stored, shard_name, write_shard
from pipeline.data.streams import FIRST
from pipeline.data.views import describe, normalise
from pipeline.labels.labeller import Forward, label
from pipeline.labels.layout import HEADER, Format
from pipeline.labels.store import Labels, open_labels
from pipeline.models.build import build
from pipeline.models.shown import Shown
from pipeline.planning.specs.machine import MachineSpec
from pipeline.planning.specs.training import TrainingSettings
from pipeline.training.batch import Batch
from pipeline.training.device import Device, choose
from pipeline.training.loop import Training
from pipeline.training.teacher import NoTeacher, StoredLabels, Teacher

SMALL_VIEWS = {"shift": 4, "flip": True, "scale": 1.0}
HARD = {"cross_entropy": {"weight": 1.0, "label_smoothing": 0.0}}
SOFT = {"soft_targets": {"weight": 1.0, "temperature": 4.0}}


def device(precision: str = "auto", name: str = "auto", memory_format: str = "auto") -> Device:
    """The GPU where there is one, or the device of that name; of a CPU one thread."""
    machine = MachineSpec(device=name, precision=precision, threads=1, memory_format=memory_format, state_every=20)
    return choose(machine, precision)


def images(folder: Path, count: int, *, channels: int = 3, size: int = 32, classes: int = 10) -> Prepared:
    """Prepared data with `count` random training images, mapped from a file as prepared images are.

    A file that is there already is taken as it is.
    """
    drawn = np.random.default_rng(0)

    def split(name: str, count: int) -> Split:
        path = folder / f"{name}.{count}.{channels}.{size}.npy"
        labels_N = drawn.integers(0, classes, count)
        if path.exists():
            return Split(np.lib.format.open_memmap(path, "r"), labels_N)
        whole = np.lib.format.open_memmap(path, "w+", np.uint8, (count, channels, size, size))
        for start in range(0, count, 4096):
            part = whole[start : start + 4096]
            part[:] = drawn.integers(0, 256, part.shape, np.uint8)
        whole.flush()
        return Split(np.lib.format.open_memmap(path, "r"), labels_N)

    train, few = split("train", count), split("few", 64)
    names = tuple(f"class {number}" for number in range(classes))
    middle = (0.5,) * channels
    return Prepared(train, few, few, train.labels, names, middle, middle, channels, size, "0" * 64)


def photographs(folder: Path, count: int, *, size: int = 32, classes: int = 10) -> Prepared:
    """The same of colour images as the store has them, of many shapes, their short side up to twice `size`."""
    from PIL import Image

    drawn = np.random.default_rng(0)
    stored = []
    for row in range(count):
        width, height = (size + (7 * row + k) % (size + 1) for k in (0, 3))
        # Noise that is smooth but for a grain takes a decoder about as long as a photograph.
        coarse = Image.fromarray(drawn.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        grained = (smooth + drawn.integers(-6, 7, smooth.shape, np.int16)).clip(0, 255).astype(np.uint8)
        content = io.BytesIO()
        Image.fromarray(grained).save(content, "JPEG", quality=QUALITY, subsampling="4:2:0")
        stored.append(Stored(f"{row:064x}", "jpg", width, height, content.getvalue()))
    shards = folder / "photographs" / SHARDS
    shards.mkdir(parents=True, exist_ok=True)
    places = write_shard(shards / shard_name(0), stored).places
    split = Split(EncodedImages(Shards(shards, None), places, 3, size), drawn.integers(0, classes, count))
    names = tuple(f"class {number}" for number in range(classes))
    return Prepared(split, split, split, split.labels, names, (0.5,) * 3, (0.5,) * 3, 3, size, "1" * 64)


@dataclass(frozen=True)
class Case:
    """A network and its images, in the two sizes that matter: a step of half a second, and one of a millisecond."""

    name: str
    data: Prepared
    architecture: Mapping[str, Any]
    views: Mapping[str, Any]
    batch: int
    rounds: int

    def training(
        self,
        on: Device,
        objective: Mapping[str, Any] = HARD,
        teacher: Teacher | None = None,
        kind: type[Training] = Training,
    ) -> Training:
        """A training of this case."""
        more: dict[str, Any] = {"batch": self.batch, "views": self.views, "on": on, "kind": kind}
        return training(self.data, self.architecture, objective, teacher, **more)


def cases(folder: Path, tiny: bool) -> list[Case]:
    """ResNet-20 on 32x32 colour images in batches of 128; the default student on 8x8 grey ones in batches of 32."""
    small = Case(
        "plain [4, 8], 8×8",
        images(folder, 64 if tiny else 448, channels=1, size=8),
        {"family": "plain", "widths": [4, 8]},
        {"shift": 1, "flip": False, "scale": 1.0},
        32,
        2 if tiny else 200,
    )
    if tiny:
        return [small]
    large = {"family": "residual", "depth": 20, "width": 16}
    return [Case("ResNet-20, 32×32", images(folder, 256), large, SMALL_VIEWS, 128, 11), small]


def training(
    data: Prepared,
    architecture: Mapping[str, Any],
    objective: Mapping[str, Any] = HARD,
    teacher: Teacher | None = None,
    *,
    batch: int = 128,
    views: Mapping[str, Any] = SMALL_VIEWS,
    on: Device | None = None,
    kind: type[Training] = Training,
    seed: int = 0,
    stream: str = FIRST,
    epochs: int = 100_000,
    lr: float = 0.01,
) -> Training:
    """A training as a stage has it."""
    recipe = {"epochs": epochs, "batch_size": batch, "lr": lr, "weight_decay": 5e-4}
    distinct = teacher.labels.views if isinstance(teacher, StoredLabels) else None
    spec = settings(architecture, objective, recipe, views, seed=seed, stream=stream, distinct_views=distinct)
    return kind(spec, data, teacher or NoTeacher(), on or device())


class Remembered(Training):
    """A training whose every epoch has the batches of the first, from memory."""

    kept: list[Batch] | None = None

    def _batches(self, start: int) -> Iterator[Batch]:
        if self.kept is None:
            self.kept = list(super()._batches(start))
        yield from self.kept


def settings(
    architecture: Mapping[str, Any],
    objective: Mapping[str, Any],
    recipe: dict[str, Any],
    views: Mapping[str, Any],
    *,
    seed: int = 0,
    stream: str = FIRST,
    **more: Any,
) -> TrainingSettings:
    """The training part of a spec; who teaches and at what precision is told to the training itself."""
    return TrainingSettings(
        **more,
        architecture=dict(architecture),
        objective=dict(objective),
        recipe=recipe,
        views=dict(views),
        views_seed=0,
        precision="auto",
        teaching="stored",
        teacher_batch=None,
        seed=seed,
        stream=stream,
    )


def epochs(of: Training) -> Iterator[None]:
    """Train for ever, without validation; yield after each epoch."""
    while True:
        for _ in of.epoch():
            pass
        of.at.epoch += 1
        yield


def network(data: Prepared, architecture: Mapping[str, Any], on: Device) -> nn.Module:
    """A network, ready for forward passes."""
    torch.manual_seed(0)
    whole = build(architecture, channels=data.channels, size=data.size, classes=len(data.classes))
    return on.place(whole).eval().requires_grad_(False)


def labels(
    data: Prepared,
    forward: Forward,
    folder: Path,
    on: Device,
    *,
    views: Mapping[str, Any] = SMALL_VIEWS,
    stream: str = FIRST,
    count: int = 2,
    batch: int = 128,
    format: Format = Format("dense", "float32"),
) -> Labels:
    """The stored labels of a teacher, written as a stage writes them and opened as one opens them."""
    asked = Views(**views)
    shown = Shown([None], data.mean, data.std, on.where, data.rendering(None))
    images = fed(data.train.images, shown.renderings, on.where, on.room())
    parts = folder.with_name(f"{folder.name} parts")
    for each in (folder, parts):
        each.mkdir(parents=True, exist_ok=True)
    label(
        forward,
        images,
        data,
        asked,
        0,
        stream,
        count,
        batch_size=batch,
        format=format,
        folder=folder,
        parts=parts,
        device=on.where,
        teacher="teacher",
        teacher_hash="0" * 64,
        shown=shown,
    )
    return stored(data, folder, views=views, stream=stream)


def stored(data: Prepared, folder: Path, *, views: Mapping[str, Any] = SMALL_VIEWS, stream: str = FIRST) -> Labels:
    """What `labels` wrote there, opened."""
    recorded = digest(read_json(folder / HEADER))
    described = describe(Views(**views), 0, stream, len(data.train), data.renderer)
    return open_labels(folder, recorded=recorded, data_hash=data.hash, views=described, classes=data.classes)


def forwards(forward: Forward, data: Prepared, batch: int, on: Device) -> Callable[[], None]:
    """Bare forward passes over the images of an epoch, ready on the device."""
    pixels = Pixels(data.train.images, on.where, on.room())
    mean_C, std_C = (torch.tensor(each, device=on.where) for each in (data.mean, data.std))
    rows = Rows.on(on.where, np.arange(len(pixels))).split(batch)
    ready = [normalise(pixels[each], mean_C, std_C) for each in rows]

    def epoch() -> None:
        with torch.no_grad():
            for x_BCHW in ready:
                forward(x_BCHW)

    return epoch
