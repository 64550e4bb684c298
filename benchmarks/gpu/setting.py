"""What the parts of the check share: sizes, images, a teacher and its labels, and where to compute."""

import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from benchmarks import world
from pipeline.config.input import Input
from pipeline.data.prepared import Prepared
from pipeline.labels.layout import Format
from pipeline.labels.layout import choose as choose_format
from pipeline.labels.store import Labels
from pipeline.training.device import Device
from pipeline.training.teacher import LiveTeacher

VIEWS = {"shift": 4, "flip": True, "scale": 0.5}
MIXED = VIEWS | {"mixup": 0.4, "cutmix": 1.0}
PRECISIONS = ("float32", "bfloat16")
EPOCHS = 2


@dataclass(frozen=True)
class Sizes:
    """How much is done.

    Attributes:
        count, batch, edge, width: Images, those of a batch, pixels and channels of what must be right. An epoch has six
            steps, the last one with fewer images.
        arms: Names of the trainings that are compared; None for all.
        small: Images and batch of what is timed at 32 pixels (at `edge`, to be exact).
        depths: Of the residual networks that are timed there.
        photos: Images, batch and pixels of what is timed as photographs are.
        networks: Architectures of the networks that are timed there, by their names.
        saved: The architecture whose state is saved, and how many epochs of `photos` it trains for that.
        rounds: How often arms are timed in turn.
        steps: How many steps are profiled.
        wide: Depth and width factor of the wide ResNet that learns CIFAR-10, its batch, and the most epochs.
        per_class: Training images of CIFAR-10 a class; None for all.
    """

    count: int
    batch: int
    edge: int
    width: int
    arms: tuple[str, ...] | None
    small: tuple[int, int]
    depths: tuple[int, int]
    photos: tuple[int, int, int]
    networks: dict[str, dict[str, Any]]
    saved: dict[str, Any]
    save_epochs: int
    rounds: int
    steps: int
    wide: tuple[int, int]
    wide_batch: int
    wide_epochs: int
    per_class: int | None


PHOTOGRAPHED = {
    name: {"family": "torchvision", "name": built}
    for name, built in {"ResNet-50": "resnet50", "ResNet-18": "resnet18", "ViT-B/16": "vit_b_16"}.items()
}
TINY = {"family": "residual", "depth": 8, "width": 4}
GPU = Sizes(
    count=360,
    batch=64,
    edge=32,
    width=16,
    arms=None,
    small=(6400, 128),
    depths=(20, 110),
    photos=(640, 64, 224),
    networks=PHOTOGRAPHED,
    saved=PHOTOGRAPHED["ResNet-50"],
    save_epochs=12,
    rounds=5,
    steps=6,
    wide=(16, 4),
    wide_batch=256,
    wide_epochs=10,
    per_class=None,
)
# A CPU shows that everything runs, with few images; its figures say nothing of a GPU.
CPU = replace(
    GPU,
    count=88,
    batch=16,
    small=(64, 32),
    photos=(2, 2, 224),
    save_epochs=3,
    rounds=1,
    wide=(10, 1),
    wide_epochs=1,
    per_class=100,
)
SMALL = replace(
    CPU,
    count=22,
    batch=4,
    edge=16,
    width=4,
    arms=(
        "hard",
        "live dkd",
        "mutual sequential",
        "fine-tuned, sgd",
        "float16, sgd",
        "on grids",
        "live, encoded, mixed",
    ),
    small=(8, 4),
    depths=(8, 14),
    photos=(4, 2, 32),
    networks={"ResNet-8 as large": TINY},
    saved=TINY,
    wide_batch=16,
    per_class=4,
)


@dataclass
class Setting:
    """One run of the check.

    Args:
        folder: For scratch files.
        is_small: Whether only to show that all of it runs.
        cifar: A folder of CIFAR-10's images; None where there is none.
        deadline: When the time is up, by `time.monotonic`.
    """

    folder: Path
    is_small: bool = False
    cifar: Path | None = None
    deadline: float = float("inf")
    _labels: dict[tuple[str, str], Labels] = field(default_factory=dict)

    @property
    def on_gpu(self) -> bool:
        """Whether there is one."""
        return torch.cuda.is_available()

    @property
    def sizes(self) -> Sizes:
        """How much is done here."""
        if self.is_small:
            return SMALL
        return GPU if self.on_gpu else CPU

    def left(self) -> float:
        """Seconds before the time is up."""
        return self.deadline - time.monotonic()

    def goal(self, goal: float) -> float | None:
        """The goal of a speed; None on a CPU and where all is small, where it would say nothing."""
        return goal if self.on_gpu and not self.is_small else None

    def device(self, precision: str) -> Device:
        """The GPU where there is one, to be asked for anew before each use: it sets flags of the whole process."""
        return world.device(precision)

    def cpu(self) -> Device:
        """What the GPU is compared with."""
        return world.device("float32", "cpu")

    @cached_property
    def data(self) -> Prepared:
        """The images of what must be right."""
        return world.images(self.folder, self.sizes.count, size=self.sizes.edge)

    @cached_property
    def photographs(self) -> Prepared:
        """As many images that are stored encoded."""
        return world.photographs(self.folder, self.sizes.count, size=self.sizes.edge)

    @property
    def network(self) -> dict[str, Any]:
        """The student's architecture, and the teacher's."""
        return {"family": "residual", "depth": 8, "width": self.sizes.width}

    def live(self, on: Device, input: Input | None = None) -> LiveTeacher:
        """The teacher, that runs at each step; input: what it is fed, None for that of the data."""
        teacher, size = world.network(self.data, self.network, on), input.size if input else self.data.size
        return LiveTeacher(teacher, on, self.sizes.batch, self.data.channels, size, input)

    def labels(self, on: Device, kind: str) -> Labels:
        """What the same teacher has written down, dense or topk; once a type of computing."""
        key = (f"{on.where.type} {on.compute_type}", kind)
        if key not in self._labels:
            form = Format("topk", "float16", 3) if kind == "topk" else choose_format(10, on.compute_type, "dense")
            self._labels[key] = world.labels(
                self.data,
                on.forward(world.network(self.data, self.network, on)),
                self.folder / " ".join(("labels", *key)),
                on,
                views=VIEWS,
                count=EPOCHS,
                batch=self.sizes.batch,
                format=form,
            )
        return self._labels[key]
