"""What balanced sampling and weights of classes are worth where classes are of unequal size, on digits.

Training images are dropped so that each class has fewer than the one before; test images stay, as many of each class.
The default student by hard labels, seed by seed: all arms of a seed share initialisation and crops.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import world
from pipeline.config.data import Data
from pipeline.config.select import METRICS
from pipeline.data import prepared
from pipeline.data.batches import Pixels
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared, Split
from pipeline.evaluation.metrics import scores
from pipeline.evaluation.statistics import paired, summary
from pipeline.labels.labeller import predict
from pipeline.training.loop import Training
from pipeline.training.state import State
from pipeline.training.teacher import NoTeacher

STUDENT = {"family": "plain", "widths": [4, 8]}
RECIPE = {"lr": 0.2, "weight_decay": 5e-4, "warmup": 0.1, "epochs": 150, "batch_size": 32}
SHIFT = {"shift": 1, "flip": False, "scale": 1.0}
RATIO = 20  # the largest class has so many times the images of the smallest
NEITHER = "neither"
ARMS: dict[str, dict[str, Any]] = {
    NEITHER: {},
    "class_weights: balanced": {"class_weights": "balanced"},
    "sampling: balanced": {"sampling": "balanced"},
}
FIVE = 5
FIGURES = ("accuracy", "macro_f1", "nll")
Reached = dict[str, Any]  # `images` of each class, and by arm and figure the values on test, one a seed


def measure(folder: Path, tiny: bool, after: Callable[[Reached], None]) -> Reached:
    """Each seed by each arm; `after` gets what there is after each seed."""
    data = _digits(folder / "digits")
    recipe = {**RECIPE, "epochs": 1} if tiny else RECIPE
    whole: Reached = {"images": np.bincount(data.train.labels).tolist(), "arms": {arm: {} for arm in ARMS}}
    for seed in range(1 if tiny else 10):
        for arm, change in ARMS.items():
            found = _figures({**recipe, **change}, seed, data, folder / f"{seed} {arm}")
            for name, value in found.items():
                whole["arms"][arm].setdefault(name, []).append(value)
        after(whole)
    return whole


def table(whole: Reached) -> list[tuple[str, ...]]:
    """Cells, header first: means over seeds on test, and the paired difference of accuracies to neither remedy."""
    header = ("arm", *(METRICS[name].words for name in FIGURES), "five largest", "five smallest", "difference")
    cells: list[tuple[str, ...]] = [header]
    accuracy = METRICS["accuracy"]
    first = whole["arms"][NEITHER]
    for arm in ARMS:  # a file has them in the order of the alphabet
        found = whole["arms"][arm]
        difference = paired(found["accuracy"], first["accuracy"])
        low, high = difference.interval or (difference.mean, difference.mean)
        cells.append(
            (
                arm,
                *(METRICS[name].shown(summary(found[name]).mean) for name in FIGURES),
                *(accuracy.shown(summary(found[name]).mean) for name in ("largest", "smallest")),
                "" if found is first else accuracy.interval(difference.mean, low, high),
            )
        )
    return cells


def unequal(data: Prepared, ratio: float) -> Prepared:
    """The data with training images dropped: of class c the first n / ratio^(c / (C - 1)) stay, in their order."""
    labels_N, last = np.asarray(data.train.labels), len(data.classes) - 1
    kept = [
        rows[: max(1, round(len(rows) / ratio ** (c / last)))]
        for c in range(last + 1)
        for rows in (np.flatnonzero(labels_N == c),)
    ]
    rows_N = np.sort(np.concatenate(kept))
    train = Split(data.train.images[rows_N], labels_N[rows_N])  # pyright: ignore[reportArgumentType] in memory
    return replace(data, train=train, true_labels=data.true_labels[rows_N])


def _digits(folder: Path) -> Prepared:
    prepare(Data(source="digits"), folder, 0, folder)
    return unequal(prepared.read(folder), RATIO)


def _figures(recipe: dict[str, Any], seed: int, data: Prepared, folder: Path) -> dict[str, float]:
    """On test, after the whole training; `largest` and `smallest`: accuracies of the classes with most and fewest."""
    on = world.device("float32", "cpu")
    of = Training(world.settings(STUDENT, world.HARD, recipe, SHIFT, seed=seed), data, NoTeacher(), on)
    folder.mkdir()
    of.run(State(folder), lambda model: {}, lambda row: None, lambda text: None, 1e9)
    pixels = Pixels(data.test.images, on.where, on.room())
    forward = of.learners[0].forward_of(of.model.eval())
    z_NC = predict(forward, pixels, of.mean_C, of.std_C, batch_size=256).cpu()
    y_N = torch.from_numpy(np.array(data.test.labels))
    found = scores(z_NC, y_N)
    halves = {"largest": y_N < FIVE, "smallest": y_N >= FIVE}
    return found | {name: scores(z_NC[half_N], y_N[half_N])["accuracy"] for name, half_N in halves.items()}
