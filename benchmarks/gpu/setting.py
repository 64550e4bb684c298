"""What the parts of the check share: sizes, images, a teacher and its labels, and where to compute."""

import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from benchmarks import world
from pipeline.data.prepared import Prepared
from pipeline.labels.format import Format
from pipeline.labels.format import choose as choose_format
from pipeline.labels.store import Labels
from pipeline.training.device import Device, choose
from pipeline.training.teaching import Live

VIEWS = {"shift": 4, "flip": True, "scale": 0.5}
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
        networks: torchvision's names of the networks that are timed there.
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
    networks: tuple[str, ...]
    saved: dict[str, Any]
    save_epochs: int
    rounds: int
    steps: int
    wide: tuple[int, int]
    wide_batch: int
    wide_epochs: int
    per_class: int | None


RESNET_50 = {"family": "torchvision", "name": "resnet50"}
PHOTOGRAPHED = ("resnet50", "resnet18", "vit_b_16")
# A CPU shows that everything runs, with few images; its figures say nothing of a GPU.
GPU = Sizes(
    *(360, 64, 32, 16, None, (6400, 128), (20, 110), (640, 64, 224), PHOTOGRAPHED),
    *(RESNET_50, 12, 5, 6, (16, 4), 256, 10, None),
)
CPU = Sizes(
    *(88, 16, 32, 16, None, (64, 32), (20, 110), (2, 2, 224), PHOTOGRAPHED),
    *(RESNET_50, 3, 1, 1, (10, 1), 128, 1, 100),
)
SMALL = Sizes(
    *(22, 4, 16, 4, ("hard", "live dkd", "mutual sequential", "on grids"), (8, 4), (8, 14), (4, 2, 32), ("resnet18",)),
    *({"family": "residual", "depth": 8, "width": 4}, 2, 1, 1, (10, 1), 16, 1, 4),
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
        return choose({"device": "cpu", "threads": 1}, "float32")

    @cached_property
    def data(self) -> Prepared:
        """The images of what must be right."""
        return world.images(self.folder, self.sizes.count, size=self.sizes.edge)

    @property
    def network(self) -> dict[str, Any]:
        """The student's architecture, and the teacher's."""
        return {"family": "residual", "depth": 8, "width": self.sizes.width}

    def live(self, on: Device) -> Live:
        """The teacher, that answers at each step."""
        teacher = world.network(self.data, self.network, on)
        return Live(teacher, on, self.sizes.batch, self.data.channels, self.data.size)

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
