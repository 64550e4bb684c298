"""What augmentation does for a student of stored labels and of hard ones: CIFAR-10 at 96 pixels, from scratch.

One pretrained teacher labels all views that students see, a new one each epoch. Each seed has its own initial weights
and order; all seeds of an arm share drawings, and with them stored labels. Trainings run beside each other, as many as
asked.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import pretrained, world
from pipeline.base import files
from pipeline.config.data import Data
from pipeline.config.select import ACCURACY
from pipeline.config.views import Views
from pipeline.data import prepared
from pipeline.data.batches import Pixels
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.data.streams import TRAIN
from pipeline.evaluation.metrics import accuracy
from pipeline.evaluation.statistics import paired, summary
from pipeline.labels.labeller import predict
from pipeline.planning.specs.training import TrainingSettings, WeightsFile
from pipeline.training.loop import Training
from pipeline.training.state import State
from pipeline.training.teacher import NoTeacher, StoredLabels, Teacher

VIEWS: dict[str, dict[str, Any]] = {
    "none": {},
    "standard": {"preset": "standard"},
    "strong": {"preset": "strong"},
    "strong, mixed": {"preset": "strong", "mixup": 0.2, "cutmix": 1.0},
}
TAUGHT, HARD = "stored labels", "hard labels"
OBJECTIVES = {TAUGHT: {"soft_targets": {"weight": 1.0, "temperature": 2.0}}, HARD: world.HARD}
TEACHER = {"family": "timm", "name": pretrained.NAME, "drop_path_rate": 0.0}
FINE_TUNING = {"optimizer": "adamw", "batch_size": 64, "weight_decay": 0.01, "lr": 0.0003, "head_lr": 0.002}
STUDENT = {"family": "torchvision", "name": "resnet18", "pretrained": False}
RECIPE = {"batch_size": 128, "lr": 0.1, "weight_decay": 5e-4, "warmup": 0.1}


@dataclass(frozen=True)
class Setting(pretrained.Setting):
    """As of `pretrained`: `tuned` are epochs of the teacher, `student` those of a student; no probe is trained."""

    train: int = 550  # 50 of which validate
    test: int = 1000
    tuned: int = 12
    student: int = 60


TINY = Setting(train=11, test=2, size=32, tuned=1, student=2)


@dataclass(frozen=True)
class Bench:
    """Where a process finds what all trainings share."""

    work: Path
    weights: Path
    setting: Setting

    @property
    def data(self) -> Prepared:
        """The images."""
        return prepared.read(self.work / "data")

    def labels(self, views: str) -> Path:
        """The teacher's of those views."""
        return self.work / "labels" / views


def measure(
    out: Path,
    images: Path,
    weights: Path,
    work: Path,
    setting: Setting,
    seeds: int,
    jobs: int,
    tiny: bool,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Train what `out` lacks, seed by seed, and write it anew after each pair; return what it holds.

    Args:
        images: An image folder with `train` and `test`.
        weights: ImageNet's weights of EfficientNet-Lite0 under timm's names.
        work: A folder for what is prepared and trained; kept, and what was killed goes on where it was.
        jobs: Trainings beside each other.

    Raises:
        UserError: There are no such images or weights, or `out` is of another setting.
    """
    whole = pretrained.begun(out, "augmented", setting, tiny, images, weights)
    bench = Bench(work.resolve(), weights.resolve(), setting)
    whole["teacher"] = _teach(bench, images)
    log(f"teacher: {100 * whole['teacher']:.1f} %")
    found = whole.setdefault("seeds", {})
    tasks = [(seed, views) for seed in range(seeds) for views in VIEWS if views not in found.setdefault(str(seed), {})]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for each in pool.map(partial(_label, bench), dict.fromkeys(views for _, views in tasks)):
            log(f"labelled: {each}")
        running: dict[Future[dict[str, float]], tuple[int, str]] = {
            pool.submit(_pair, bench, seed, views): (seed, views) for seed, views in tasks
        }
        for each in as_completed(running):
            seed, views = running[each]
            found[str(seed)][views] = each.result()
            files.write_json(out, whole)
            said = ", ".join(f"{name} {100 * reached:.1f} %" for name, reached in each.result().items())
            log(f"seed {seed}, {views}: {said}")
    return whole


def table(whole: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Cells, header first: test accuracy of each arm, what stored labels gain, and what views gain over `none`."""
    seeds = [each for each in whole["seeds"].values() if set(each) == set(VIEWS)]
    of = {(views, arm): [each[views][arm] for each in seeds] for views in VIEWS for arm in OBJECTIVES}
    cells: list[tuple[str, ...]] = [
        ("views", *OBJECTIVES, "stored over hard", *(f"{arm}, over no views" for arm in OBJECTIVES))
    ]
    for views in VIEWS:
        spreads = [summary(of[views, arm]) for arm in OBJECTIVES]
        own = [f"{ACCURACY.shown(each.mean)} ± {ACCURACY.shown(each.deviation or 0.0)}" for each in spreads]
        gains = [(of[views, TAUGHT], of[views, HARD])]
        gains += [(of[views, arm], of["none", arm]) for arm in OBJECTIVES] if views != "none" else []
        shown = [_difference(*each) for each in gains]
        cells.append((views, *own, *shown, *[""] * (3 - len(shown))))
    return cells


def _difference(left: list[float], right: list[float]) -> str:
    found = paired(left, right)
    return ACCURACY.interval(found.mean, *(found.interval or (found.mean, found.mean)))


def _teach(bench: Bench, images: Path) -> float:
    """Prepare the images and fine-tune the teacher where that is not done; its accuracy on test."""
    reached = bench.work / "teacher.json"
    if not reached.exists():
        pretrained.take(images, bench.work / "images", bench.setting)
        asked = Data(source="imagefolder", size=bench.setting.size, storage="pixels", validation=1 / 11)
        if not (bench.work / "data").exists():
            prepare(asked, bench.work / "images", 0, bench.work / "data")
        files.write_json(reached, {"test": _reached(_teacher(bench))})
    return files.read_json(reached)["test"]


def _teacher(bench: Bench) -> Training:
    """Fine-tuned, as often as it is asked for: a finished training only reads its weights."""
    begins = WeightsFile(file=str(bench.weights), sha256=files.sha256(bench.weights), head="new")
    recipe = {**FINE_TUNING, "epochs": bench.setting.tuned}
    views = Views(preset="standard").model_dump()
    spec = world.settings(TEACHER, world.HARD, recipe, views, stream=TRAIN, initial_file=begins)
    return _trained(spec, bench, NoTeacher(), "teacher")


def _label(bench: Bench, views: str) -> str:
    """Write the teacher's labels of all views that a student sees, where they are not written."""
    if not bench.labels(views).exists():
        of = _teacher(bench)
        forward = of.learners[0].forward_of(of.model.eval())
        part = bench.labels(f"{views} begun")
        asked = Views(**VIEWS[views]).model_dump()
        world.labels(bench.data, forward, part, world.device(), views=asked, count=bench.setting.student)
        part.rename(bench.labels(views))
    return views


def _pair(bench: Bench, seed: int, views: str) -> dict[str, float]:
    """Test accuracy of the student of that seed and views, by each objective."""
    return {arm: _reached(_student(bench, seed, views, arm)) for arm in OBJECTIVES}


def _student(bench: Bench, seed: int, views: str, arm: str) -> Training:
    recipe, asked = {**RECIPE, "epochs": bench.setting.student}, Views(**VIEWS[views]).model_dump()
    spec = world.settings(STUDENT, OBJECTIVES[arm], recipe, asked, seed=seed, distinct_views=bench.setting.student)
    teacher: Teacher = NoTeacher()
    if arm == TAUGHT:
        teacher = StoredLabels(world.stored(bench.data, bench.labels(views), views=asked), world.device())
    return _trained(spec, bench, teacher, f"{views} {arm} {seed}")


def _trained(spec: TrainingSettings, bench: Bench, teacher: Teacher, name: str) -> Training:
    of = Training(spec, bench.data, teacher, world.device())
    folder = bench.work / "trainings" / name
    folder.mkdir(parents=True, exist_ok=True)
    of.run(State(folder), lambda model: {}, lambda row: None, lambda text: None, 60.0)
    return of


def _reached(of: Training) -> float:
    """Accuracy on the test images."""
    data, on = of.data, of.device
    pixels = Pixels(data.test.images, on.where, on.room())
    forward = of.learners[0].forward_of(of.model.eval())
    z_NC = predict(forward, pixels, of.mean_C, of.std_C, batch_size=256).cpu()
    return accuracy(z_NC, torch.from_numpy(np.array(data.test.labels)))
