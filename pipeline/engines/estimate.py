"""How long a stage will take and how much it will write, from what earlier runs of this repository measured.

A training sees images at the speed of the last run of the same network that learned in the same way; another image size
counts by its area. Where none did, it is the speed of its own last run, by the FLOPs of both networks. A forward pass,
of validation and of labelling, is a third of a training step. Nothing here imports torch.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline.base.files import Json, to_json
from pipeline.dvc import previous_run
from pipeline.dvc.previous_run import PreviousRun
from pipeline.labels.layout import choose, layout
from pipeline.planning.specs.readers import EnsembleSpec, RefinedSpec, ReportSpec, SummarySpec
from pipeline.planning.specs.slots import CarrySpec, SkipSpec
from pipeline.planning.specs.spec import Spec
from pipeline.planning.specs.training import TrainingSpec, TrainSpec
from pipeline.training.seen_views import held

STEP = 3  # a training step is a pass forward and one backward, which is two
BEGIN = 1.0  # seconds of DVC and Python for a stage that computes nothing, as measured on two cores
BEGIN_TORCH = 3.0  # and of one that needs torch
COUNTED = {"per_class"}  # keys of `data` that change the number of images in a way that is known beforehand
UNCOUNTED = {
    "size",
    "store_size",
    "storage",
    "label_noise",
    "grayscale",
    "background",
}  # and those that do not change it


@dataclass(frozen=True)
class Expected:
    """What a stage will take, as far as it is known.

    seconds: of one stage at a time. bytes: of its weights, labels and predictions. None where nothing is known of it.
    """

    seconds: float | None
    bytes: int | None


UNKNOWN = Expected(None, None)


@dataclass(frozen=True)
class ImageCounts:
    """The prepared images: how many of each split, in how many classes, of which edge in pixels."""

    train: int
    validation: int
    test: int
    classes: int
    size: int

    @staticmethod
    def of(header: Json) -> "ImageCounts":
        """Of what data.json holds."""
        counts, shape = header["counts"], header["shapes"]["train"]
        return ImageCounts(counts["train"], counts["validation"], counts["test"], len(header["classes"]), shape[-1])

    def after(self, old: Json, new: Json) -> "ImageCounts | None":
        """Those that `prepare` will make by other settings of `data`; None where only `prepare` can tell.

        old, new: the section, of the run that made these, and of the run to come.
        """
        changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
        if changed - COUNTED - UNCOUNTED:
            return None
        size = new["size"] if "size" in changed else self.size
        share = 1.0
        if "per_class" in changed:
            if not (old["per_class"] and new["per_class"]):
                return None
            share = new["per_class"] / old["per_class"]
        train = round(self.train * share)
        return None if size is None else ImageCounts(train, self.validation, self.test, self.classes, size)


class Estimate:
    """What each stage will take.

    Args:
        specs: Of all stages, by node name.
        before: The spec of each node's last run, as JSON.
        images, images_before: Those to come, and those of the last run; None where they are not known.
    """

    def __init__(
        self,
        specs: Mapping[str, Spec],
        before: Mapping[str, Json],
        images: ImageCounts | None,
        images_before: ImageCounts | None,
    ) -> None:
        self.specs = specs
        self.before = before
        self.images = images
        self.images_before = images_before

    def of(self, name: str) -> Expected:
        """What the stage of a node will take."""
        spec = self.specs.get(name)
        if isinstance(spec, CarrySpec | SkipSpec | RefinedSpec | SummarySpec | ReportSpec):
            return Expected(BEGIN, 0)
        if isinstance(spec, EnsembleSpec) and not spec.labels.views and self.images:
            return Expected(BEGIN_TORCH, _predictions(self.images))
        if not isinstance(spec, TrainingSpec) or (isinstance(spec, TrainSpec) and spec.weights) or self.images is None:
            return UNKNOWN
        return Expected(self._seconds(name, spec, self.images), self._bytes(name, spec, self.images))

    def _seconds(self, name: str, spec: TrainingSpec, images: ImageCounts) -> float | None:
        speed = self._speed(name, spec.as_json(), images)
        if speed is None:
            return None
        epochs = spec.training.recipe["epochs"]
        forward = epochs * images.validation + (1 + _views(spec, images)) * images.train
        forward += images.validation + images.test
        return BEGIN_TORCH + (epochs * images.train + forward / STEP) / speed

    def _bytes(self, name: str, spec: TrainingSpec, images: ImageCounts) -> int | None:
        found = self._alike(name, spec.as_json())
        if not found:
            return None
        metrics, members = found[0].metrics, len(spec.training.members or (None,))
        labels, kept = spec.labels, "float32" if _is_full(spec.training.precision, metrics) else "float16"
        arrays = layout(choose(images.classes, kept, labels.kind, labels.k), images.train, images.classes).values()
        a_view = sum(dtype.itemsize * math.prod(shape) for dtype, shape in arrays)
        return members * (metrics["bytes"] + (1 + _views(spec, images)) * a_view + _predictions(images))

    def _speed(self, name: str, spec: Json, images: ImageCounts) -> float | None:
        """Training images a second."""
        for run in self._alike(name, spec):
            if run.images_per_second:
                return run.images_per_second * self._area(run, spec, images)
        own, flops = self._runs.get(name), self._flops.get(_network(spec) or "")
        if own and own.images_per_second and flops and own.metrics.get("flops"):
            return own.images_per_second * own.metrics["flops"] / flops
        return None

    def _alike(self, name: str, spec: Json) -> list[PreviousRun]:
        """Runs of the same network that learned in the same way: its own first, then those of its family."""
        network, way = _network(spec), _is_live(spec)
        own, family = self._runs.get(name), name.split("/")[0]
        if network is None:  # that of the node before, whatever it is
            return [own] if own and _network(self.before[name]) is None else []
        found = [
            (each != name, each.split("/")[0] != family, run)
            for each, run in self._runs.items()
            if _network(self.before[each]) == network and _is_live(self.before[each]) == way
        ]
        return [run for _, _, run in sorted(found, key=lambda each: each[:2])]

    def _area(self, run: PreviousRun, spec: Json, images: ImageCounts) -> float:
        """How many times as fast as in that run, where the network is fed what the data has and that has changed."""
        before = self.images_before
        fed = run.networks[0].get("size") if run.networks else None
        if before is None or fed != before.size or (spec["training"].get("input") or {}).get("size"):
            return 1.0
        return (before.size / images.size) ** 2

    @cached_property
    def _runs(self) -> dict[str, PreviousRun]:
        """The last run of each node that was trained."""
        names = [name for name, spec in self.before.items() if "training" in spec]
        return {name: run for name in names if (run := previous_run.read(name))}

    @cached_property
    def _flops(self) -> dict[str, int]:
        """FLOPs of one image, by the network."""
        found = ((_network(self.before[name]), run.metrics.get("flops")) for name, run in self._runs.items())
        return {network: flops for network, flops in found if network and flops}


def _network(spec: Json) -> str | None:
    """What network a training is of, and what it is fed, as text; None where it is that of the node before."""
    training: dict[str, Any] = spec["training"]
    networks = training.get("members") or [training]
    if any(each["architecture"] is None for each in networks):
        return None
    return to_json([[each["architecture"], each.get("input")] for each in networks])


def _is_live(spec: Json) -> bool:
    """Whether a teacher runs beside it, which costs, too."""
    return spec.get("teacher") is not None and spec["training"]["teaching"] == "live"


def _views(spec: TrainingSpec, images: ImageCounts) -> int:
    """How many views it labels beside the clean one."""
    asked = spec.labels.views
    return min(asked, held(spec.labels, images.train, images.classes)) if asked else 0


def _predictions(images: ImageCounts) -> int:
    """Bytes of the logits on clean images that a node keeps, in 32 bits."""
    return 4 * images.classes * (images.validation + images.test)


def _is_full(precision: str, metrics: Json) -> bool:
    """Whether labels are kept as 32 bits: whether it computes in them, which `auto` does without a GPU."""
    on_gpu = metrics["cost"].get("timed_on", "cpu") != "cpu"
    return precision in ("float32", "tf32") or (precision == "auto" and not on_gpu)
