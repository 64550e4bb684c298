"""What default weights are worth: each method beside hard labels at today's default weight and at the one before.

On digits, over pairs: a pair has its own split of the images, its own teacher and its own seed of the student, none of
which any other table uses. All arms of a pair share initialisation, order and crops, and see a new crop in each epoch.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.gradients import HARD, Place, place
from pipeline.config.term import complete_term
from pipeline.data.batches import Pixels
from pipeline.data.streams import FIRST
from pipeline.evaluation.metrics import accuracy
from pipeline.evaluation.statistics import holm, p_value, paired, summary
from pipeline.labels.labeller import predict
from pipeline.planning.specs.training import TrainingSettings
from pipeline.training.loop import Training
from pipeline.training.teacher import LiveTeacher, NoTeacher

PAIRS = range(501, 506)  # seeds.data; the student's seed is the same number
BASE = "hard labels"
Terms = dict[str, dict[str, Any]]
DKD = {"beta": 2.0, "warmup": 0.1}
ARMS: Mapping[str, Terms] = {
    BASE: {HARD: {}},
    "soft_targets 0.9": {HARD: {"weight": 0.1}, "soft_targets": {"weight": 0.9, "temperature": 2.0}},
    "soft_targets 2": {HARD: {"weight": 0.1}, "soft_targets": {"weight": 2.0, "temperature": 2.0}},
    "similarity_preserving 70": {HARD: {}, "similarity_preserving": {"weight": 70.0}},
    "similarity_preserving by rows 70": {HARD: {}, "similarity_preserving": {"weight": 70.0, "normalisation": "rows"}},
    "similarity_preserving 3000": {HARD: {}, "similarity_preserving": {"weight": 3000.0}},
    "rkd 2": {HARD: {}, "rkd": {"weight": 2.0}},
    "rkd 25": {HARD: {}, "rkd": {"weight": 25.0}},
    "rkd_distance 5": {HARD: {}, "rkd_distance": {"weight": 5.0}},
    "rkd_distance 25": {HARD: {}, "rkd_distance": {"weight": 25.0}},
    "rkd_angle 7": {HARD: {}, "rkd_angle": {"weight": 7.0}},
    "rkd_angle 50": {HARD: {}, "rkd_angle": {"weight": 50.0}},
    "pkt 60": {HARD: {}, "pkt": {"weight": 60.0}},
    "pkt 100": {HARD: {}, "pkt": {"weight": 100.0}},
    "dkd 1": {HARD: {}, "dkd": {"weight": 1.0, **DKD}},
    "logit_standardisation 2": {HARD: {"weight": 0.1}, "logit_standardisation": {"weight": 2.0}},
    "logit_standardisation 9": {HARD: {"weight": 0.1}, "logit_standardisation": {"weight": 9.0}},
}
Reached = dict[str, list[float]]  # test accuracy by arm, one a pair


def measure(folder: Path, tiny: bool, after: Callable[[Reached], None]) -> Reached:
    """Test accuracies; `after` gets what there is after each pair. `tiny` ones mean nothing."""
    reached: Reached = {name: [] for name in ARMS}
    for seed in PAIRS[:2] if tiny else PAIRS:
        at = place(folder / str(seed), 1 if tiny else None, seed)
        for name, terms in ARMS.items():
            reached[name].append(_test_accuracy(at, terms, seed, 1 if tiny else None))
        after(reached)
    return reached


def _test_accuracy(at: Place, terms: Terms, seed: int, epochs: int | None) -> float:
    """Of the student of params.yaml after its epochs, with these terms."""
    settings = at.specs["student"].training
    objective = {name: complete_term(name, each, name) for name, each in terms.items()}
    recipe = settings.recipe | ({} if epochs is None else {"epochs": epochs})
    of = _trained(at, replace(settings, objective=objective, recipe=recipe, seed=seed))
    pixels = Pixels(at.data.test.images, at.device.where, at.device.room())
    forward = at.device.forward(of.model.eval())
    z_NC = predict(forward, pixels, of.mean_C, of.std_C, batch_size=256)
    return accuracy(z_NC.cpu(), torch.from_numpy(at.data.test.labels.copy()))


def _trained(at: Place, settings: TrainingSettings) -> Training:
    teacher = NoTeacher()
    if len(settings.objective) > 1:
        size = settings.recipe["batch_size"]
        teacher = LiveTeacher(at.teacher, at.device, size, at.data.channels, at.data.size)
    of = Training(replace(settings, stream=FIRST, distinct_views=None), at.data, teacher, at.device)
    for _ in range(of.recipe.epochs):
        for _ in of.epoch():
            pass
        of.at.epoch += 1
    return of


def table(reached: Reached) -> list[tuple[str, ...]]:
    """Cells, header first: points, differences to hard labels with 95 % intervals, and Holm's p of all of them."""
    others = [name for name in ARMS if name != BASE]
    corrected = dict(zip(others, holm([p_value(reached[name], reached[BASE]) for name in others]), strict=True))
    cells: list[tuple[str, ...]] = [("terms", "test", "over hard labels", "Holm's p")]
    for name in ARMS:
        values = reached[name]
        mean = f"{100 * summary(values).mean:.1f}"
        if name == BASE:
            cells.append((name, mean, "", ""))
            continue
        difference = paired(values, reached[BASE])
        low, high = difference.interval or (difference.mean, difference.mean)
        words = f"{100 * difference.mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
        cells.append((name, mean, words, f"{corrected[name]:.3f}"))
    return cells
