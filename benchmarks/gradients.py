"""How strong each method pulls at the start: the gradient of its weighted terms over that of cross entropy.

On the networks and images of params.yaml, before the first step (`pipeline.training.balance` says how it is measured).
Two tables: the methods as params.yaml has them, and each objective by itself with all its defaults.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from torch import nn

from benchmarks import world
from pipeline.base.paths import CODE
from pipeline.config import params
from pipeline.config.extension import OBJECTIVES
from pipeline.config.term import complete_term, needs_teacher
from pipeline.data import prepared
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.planning import graph
from pipeline.planning.build import build
from pipeline.planning.specs.training import TrainingSettings, TrainSpec
from pipeline.training.balance import BATCHES, relative_gradients
from pipeline.training.device import Device
from pipeline.training.loop import Training
from pipeline.training.teacher import LiveTeacher, NoTeacher

SIZES = (16, 32, 128)
SEEDS = tuple(range(11, 16))  # of initialisation and order: none that trains a figure
HARD = "cross_entropy"
Strengths = dict[str, dict[str, list[float]]]  # by term, then by batch size, one a seed


@dataclass(frozen=True)
class Place:
    """What all are measured on: images, a trained teacher, and the specs of the networks that learn."""

    specs: Mapping[str, TrainSpec]
    data: Prepared
    device: Device
    teacher: nn.Module

    def strengths(self, settings: TrainingSettings, sizes: Sequence[int], seeds: Sequence[int]) -> Strengths:
        """Of the weighted terms but cross entropy: of the first network, where several teach each other."""
        found: Strengths = {}
        for size in sizes:
            for seed in seeds:
                training = self._training(settings, size, seed)
                ratios = relative_gradients(training.learners, training.opening(BATCHES))[0]
                for name, term in training.learners[0].objective.terms.items():
                    if name != HARD:
                        of_size = found.setdefault(name, {}).setdefault(str(size), [])
                        of_size.append(term.schedule.weight * ratios[name])
        return found

    def _training(self, settings: TrainingSettings, size: int, seed: int) -> Training:
        """A training in batches of `size`, under a live teacher where the objective listens to one."""
        members = settings.members and tuple(replace(each, seed=seed + k) for k, each in enumerate(settings.members))
        settings = replace(settings, recipe=settings.recipe | {"batch_size": size}, seed=seed, members=members)
        heard = needs_teacher(settings.objective)
        live = (
            LiveTeacher(self.teacher, self.device, size, self.data.channels, self.data.size) if heard else NoTeacher()
        )
        return Training(settings, self.data, live, self.device)


def place(folder: Path, epochs: int | None = None) -> Place:
    """The images of params.yaml and its teacher, trained for so many epochs in place of its own; works in `folder`."""
    read = params.read(CODE / "params.yaml")
    specs = build(read, graph.read(CODE / "dvc.yaml"))
    prepare(read.data, folder, read.seeds.data, folder / "data")
    data, device = prepared.read(folder / "data"), world.device("float32", "cpu")
    found = {name: spec for name, spec in specs.items() if isinstance(spec, TrainSpec)}
    training = Training(found["teacher"].training, data, NoTeacher(), device)
    of = world.epochs(training)
    for _ in range(training.recipe.epochs if epochs is None else epochs):
        next(of)
    return Place(found, data, device, training.model)


def methods(at: Place, sizes: Sequence[int] = SIZES, seeds: Sequence[int] = SEEDS) -> dict[str, Strengths]:
    """Of each method as params.yaml has it, and of the networks that teach each other."""
    names = [name for name in at.specs if name.startswith("method/") or name == "mutual"]
    return {name: at.strengths(at.specs[name].training, sizes, seeds) for name in names}


def defaults(at: Place, sizes: Sequence[int] = SIZES, seeds: Sequence[int] = SEEDS) -> Strengths:
    """Of each objective by itself, with its own default weight and settings."""
    found: Strengths = {}
    for name in OBJECTIVES.names():
        if name != HARD:
            base = at.specs["mutual" if "peers" in OBJECTIVES.needs(name) else "student"].training
            objective = {name: complete_term(name, {}, name)}
            members = base.members and tuple(replace(each, objective=objective) for each in base.members)
            found |= at.strengths(replace(base, objective=objective, members=members), sizes, seeds)
    return found


def measure(folder: Path, tiny: bool) -> dict[str, Any]:
    """Both tables, as JSON."""
    at = place(folder, 1 if tiny else None)
    seeds = SEEDS[:1] if tiny else SEEDS
    return {"seeds": [*seeds], "methods": methods(at, SIZES, seeds), "defaults": defaults(at, SIZES, seeds)}


def table(measured: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Cells, header first: the median of the seeds, by batch size."""
    cells: list[tuple[str, ...]] = [("method", "term", *(f"batch {size}" for size in SIZES))]
    rows = {**measured["methods"], "alone": measured["defaults"]}
    for name, strengths in rows.items():
        for term, by_size in strengths.items():
            cells.append((name.removeprefix("method/"), term, *(f"{median(each):.2f}" for each in by_size.values())))
    return cells
