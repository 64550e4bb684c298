"""What images without a label are worth, on digits: few of the training images keep their label, drawn anew each seed.

The default student by hard labels, and taught by a teacher that learned from the few: on the few images alone, and on
all. An epoch of all images has more steps, so that arms on the few are trained for as many steps, too. All arms of a
seed share the images with a label, initialisation, teacher and number of distinct views.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import world
from pipeline.config.data import Data
from pipeline.config.select import ACCURACY
from pipeline.data import prepared
from pipeline.data.batches import Pixels
from pipeline.data.generator import generator
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared, Split
from pipeline.data.streams import TRAIN
from pipeline.evaluation.metrics import accuracy
from pipeline.evaluation.statistics import paired, summary
from pipeline.labels.labeller import predict
from pipeline.training.device import Device
from pipeline.training.loop import Training
from pipeline.training.state import State
from pipeline.training.teacher import NoTeacher, StoredLabels, Teacher

TEACHER = {"family": "residual", "depth": 8, "width": 16}
STUDENT = {"family": "plain", "widths": [4, 8]}
TEACHER_RECIPE = {"lr": 0.1, "weight_decay": 5e-4, "warmup": 0.1, "epochs": 100, "batch_size": 32}
RECIPE = {"lr": 0.2, "weight_decay": 5e-4, "warmup": 0.1, "epochs": 150, "batch_size": 32}
SHIFT = {"shift": 1, "flip": False, "scale": 1.0}
TAUGHT = {
    "cross_entropy": {"weight": 0.1, "label_smoothing": 0.0},
    "soft_targets": {"weight": 0.9, "temperature": 2.0},
}
KEPT = 10  # labels a class
VIEWS = 30
# Objective, whether images without a label are there, and whether it has the steps of an arm with them.
ARMS: dict[str, tuple[dict[str, Any], bool, bool]] = {
    "hard labels": (world.HARD, False, False),
    "hard labels, as many steps": (world.HARD, False, True),
    "taught on the few": (TAUGHT, False, False),
    "taught on the few, as many steps": (TAUGHT, False, True),
    "taught on all": (TAUGHT, True, False),
}
COMPARED = "taught on the few, as many steps"
# `images`: with a label and without; `steps` by arm; `teacher`, and by arm `arms`: accuracy on test, one a seed.
Reached = dict[str, Any]


def measure(folder: Path, tiny: bool, after: Callable[[Reached], None]) -> Reached:
    """Each seed by each arm; `after` gets what there is after each seed."""
    prepare(Data(source="digits"), folder, 0, folder / "digits")
    whole = prepared.read(folder / "digits")
    known = KEPT * len(whole.classes)
    found: Reached = {"images": [known, len(whole.train) - known], "steps": {}, "teacher": [], "arms": {}}
    views = 2 if tiny else VIEWS
    for seed in range(1 if tiny else 10):
        few, every = parted(whole, KEPT, seed)
        where = folder / str(seed)
        on = world.device("float32", "cpu")
        recipe = _short(TEACHER_RECIPE, tiny)
        teacher = _trained(TEACHER, world.HARD, recipe, seed, every, NoTeacher(), where / "teacher", TRAIN)
        found["teacher"].append(_reached(teacher, whole, on))
        forward = teacher.learners[0].forward_of(teacher.model.eval())
        labels = {
            data: world.labels(each, forward, where / f"labels {data}", on, views=SHIFT, count=views)
            for data, each in (("few", few), ("all", every))
        }
        for arm, (objective, bare, long) in ARMS.items():
            recipe = _short(RECIPE, tiny)
            if long:
                recipe["epochs"] = round(recipe["epochs"] * _steps(every, recipe) / _steps(few, recipe))
            stored = StoredLabels(labels["all" if bare else "few"], on) if objective is TAUGHT else NoTeacher()
            data = every if bare else few
            of = _trained(STUDENT, objective, recipe, seed, data, stored, where / arm, distinct_views=views)
            found["steps"][arm] = of.steps * recipe["epochs"]
            found["arms"].setdefault(arm, []).append(_reached(of, whole, on))
        after(found)
    return found


def table(whole: Reached) -> list[tuple[str, ...]]:
    """Cells, header first: means over seeds on test, and the paired difference to the taught arm of as many steps."""
    cells: list[tuple[str, ...]] = [("arm", "steps", "accuracy", "deviation", "difference")]
    compared = whole["arms"][COMPARED]
    for arm, found in (("the teacher", whole["teacher"]), *((arm, whole["arms"][arm]) for arm in ARMS)):
        spread, difference = summary(found), paired(found, compared)
        low, high = difference.interval or (difference.mean, difference.mean)
        cells.append(
            (
                arm,
                f"{whole['steps'][arm]:,}" if arm in whole["steps"] else "",
                ACCURACY.shown(spread.mean),
                ACCURACY.shown(spread.deviation or 0.0),
                "" if found is compared else ACCURACY.interval(difference.mean, low, high),
            )
        )
    return cells


def parted(data: Prepared, kept: int, seed: int) -> tuple[Prepared, Prepared]:
    """The training images that keep their label, `kept` a class, alone; and all, the others without a label."""
    labels_N = np.asarray(data.train.labels)
    random = generator(seed, "labels that are kept")
    rows_M = np.sort(
        np.concatenate([random.permutation(np.flatnonzero(labels_N == c))[:kept] for c in range(len(data.classes))])
    )
    bare_N = np.full_like(labels_N, -1)
    bare_N[rows_M] = labels_N[rows_M]
    few = Split(data.train.images[rows_M], labels_N[rows_M])  # pyright: ignore[reportArgumentType] in memory
    return replace(data, train=few, true_labels=labels_N[rows_M]), replace(
        data, train=replace(data.train, labels=bare_N)
    )


def _short(recipe: dict[str, Any], tiny: bool) -> dict[str, Any]:
    return {**recipe, "epochs": 1} if tiny else {**recipe}


def _steps(data: Prepared, recipe: dict[str, Any]) -> int:
    """Of an epoch."""
    return math.ceil(len(data.train) / recipe["batch_size"])


def _trained(
    architecture: dict[str, Any],
    objective: dict[str, Any],
    recipe: dict[str, Any],
    seed: int,
    data: Prepared,
    teacher: Teacher,
    folder: Path,
    stream: str = world.FIRST,
    **more: Any,
) -> Training:
    settings = world.settings(architecture, objective, recipe, SHIFT, seed=seed, stream=stream, **more)
    of = Training(settings, data, teacher, world.device("float32", "cpu"))
    folder.mkdir(parents=True)
    of.run(State(folder), lambda model: {}, lambda row: None, lambda text: None, 1e9)
    return of


def _reached(of: Training, data: Prepared, on: Device) -> float:
    """Accuracy on the test images."""
    pixels = Pixels(data.test.images, on.where, on.room())
    forward = of.learners[0].forward_of(of.model.eval())
    z_NC = predict(forward, pixels, of.mean_C, of.std_C, batch_size=256).cpu()
    return accuracy(z_NC, torch.from_numpy(np.array(data.test.labels)))
