"""What BatchNorm's statistics are worth in short trainings: as torch builds a network, and by either remedy of ours.

On digits, by hard labels, seed by seed: all arms of a seed share initialisation, order and crops.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest.mock import patch

import torch

from benchmarks import world
from pipeline.config.data import Data
from pipeline.data import prepared
from pipeline.data.batches import Pixels
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.evaluation.metrics import accuracy
from pipeline.labels.labeller import predict
from pipeline.training.loop import Training
from pipeline.training.state import State
from pipeline.training.teacher import NoTeacher

PER_CLASS = 100  # training images: 1,000 in all
RECIPE = {"lr": 0.1, "weight_decay": 5e-4, "warmup": 0.1}
SHIFT = {"shift": 1, "flip": False, "scale": 1.0}
BUILT, RAISED, AGAIN = "as torch builds it", "momentum raised", "estimated again"
MOBILE = {"family": "torchvision", "name": "mobilenet_v3_small"}
RESIDUAL = {"family": "residual", "depth": 8, "width": 8}


@dataclass(frozen=True)
class Case:
    """One network in one length of training; images are digits of `size` pixels."""

    name: str
    architecture: dict[str, Any]
    size: int
    batch: int
    epochs: int
    seeds: int


CASES = (
    *(Case("mobilenet_v3_small", MOBILE, 32, 32, epochs, 3) for epochs in (5, 3, 2)),
    *(Case("mobilenet_v3_small", MOBILE, 32, 250, epochs, 3) for epochs in (6, 2)),
    *(Case("residual, depth 8, width 8", RESIDUAL, 8, 250, epochs, 5) for epochs in (1, 2, 4, 6)),
    Case("residual, depth 8, width 8", RESIDUAL, 8, 32, 2, 5),
)
TINY = (Case("residual", {"family": "residual", "depth": 8, "width": 1}, 8, 512, 1, 1),)
Row = dict[str, Any]  # a case, its steps, and by arm the validation accuracies, one a seed


def measure(folder: Path, tiny: bool, after: Callable[[list[Row]], None]) -> list[Row]:
    """Each case by each arm; `after` gets what there is after each case."""
    rows: list[Row] = []
    for case in TINY if tiny else CASES:
        data = _digits(folder / f"digits {case.size}", case.size)
        reached: dict[str, list[float]] = {BUILT: [], RAISED: [], AGAIN: []}
        for seed in range(case.seeds):
            for arm, values in reached.items():
                values.append(_accuracy(case, arm, seed, data, folder / f"{len(rows)} {seed} {arm}"))
        steps = -(-len(data.train) // case.batch) * case.epochs
        rows.append({**asdict(case), "steps": steps, "reached": reached})
        after(rows)
    return rows


def table(rows: list[Row]) -> list[tuple[str, ...]]:
    """Cells, header first: mean percent of validation images."""
    cells: list[tuple[str, ...]] = [("network", "pixels", "batch", "steps", "seeds", BUILT, RAISED, AGAIN)]
    for row in rows:
        means = (f"{100 * fmean(row['reached'][arm]):.1f}" for arm in (BUILT, RAISED, AGAIN))
        cells.append((row["name"], *(str(row[key]) for key in ("size", "batch", "steps", "seeds")), *means))
    return cells


def _digits(folder: Path, size: int) -> Prepared:
    if not folder.exists():
        asked = Data(source="digits", size=size, per_class=PER_CLASS)
        prepare(asked, folder, 0, folder)
    return prepared.read(folder)


def _accuracy(case: Case, arm: str, seed: int, data: Prepared, folder: Path) -> float:
    """Of validation images after the whole training."""
    on = world.device("float32", "cpu")
    recipe = {**RECIPE, "epochs": case.epochs, "batch_size": case.batch}
    with _momentum(raised=arm != BUILT):
        of = Training(world.settings(case.architecture, world.HARD, recipe, SHIFT, seed=seed), data, NoTeacher(), on)
    of.learners[0].estimates_again = arm == AGAIN
    folder.mkdir()
    of.run(State(folder), lambda model: {}, lambda row: None, lambda text: None, 1e9)
    pixels = Pixels(data.validation.images, on.where, on.room())
    z_NC = predict(on.forward(of.model.eval()), pixels, of.mean_C, of.std_C, batch_size=256)
    return accuracy(z_NC.cpu(), torch.from_numpy(data.validation.labels.copy()))


@contextmanager
def _momentum(*, raised: bool) -> Iterator[None]:
    if raised:
        yield
        return
    with patch("pipeline.training.learner.raise_momentum", lambda model, steps: None):
        yield
