"""How strong each method pulls at the start: the gradient of its weighted terms over that of cross entropy.

On the networks and images of params.yaml, before the first step (`pipeline.training.balance` says how it is measured).
Two tables: the methods as params.yaml has them, and each objective by itself with all its defaults. `rule` makes the
default weights of what was measured.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from pipeline.data.streams import FIRST
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
SOUGHT = 3.0  # times cross entropy's gradient
GOOD = (2.0, 4.0)
VARIANTS = {"similarity_preserving by rows": ("similarity_preserving", {"normalisation": "rows"})}


@dataclass
class Strength:
    """A term's weight, and its weighted gradient over that of cross entropy: by batch size, one a seed."""

    weight: float
    times: dict[str, list[float]] = field(default_factory=dict)

    def median(self, size: int) -> float:
        """Over the seeds."""
        return median(self.times[str(size)])


Strengths = dict[str, Strength]  # by term


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
                        weight = term.schedule.weight
                        of_term = found.setdefault(name, Strength(weight))
                        of_term.times.setdefault(str(size), []).append(float(f"{weight * ratios[name]:.4g}"))
        return found

    def _training(self, settings: TrainingSettings, size: int, seed: int) -> Training:
        """A training in batches of `size`, under a live teacher where the objective listens to one."""
        members = settings.members and tuple(replace(each, seed=seed + k) for k, each in enumerate(settings.members))
        settings = replace(settings, recipe=settings.recipe | {"batch_size": size}, seed=seed, members=members)
        settings = replace(settings, stream=FIRST, distinct_views=None)
        heard = needs_teacher(settings.objective)
        live = (
            LiveTeacher(self.teacher, self.device, size, self.data.channels, self.data.size) if heard else NoTeacher()
        )
        return Training(settings, self.data, live, self.device)


def place(folder: Path, epochs: int | None = None, seed: int | None = None) -> Place:
    """The images of params.yaml and its teacher, for so many epochs and split by such a seed in place of their own.

    Works in `folder`.
    """
    read = params.read(CODE / "params.yaml")
    specs = build(read, graph.read(CODE / "dvc.yaml"))
    prepare(read.data, folder, read.seeds.data if seed is None else seed, folder / "data")
    data, device = prepared.read(folder / "data"), world.device("float32", "cpu")
    found = {name: spec for name, spec in specs.items() if isinstance(spec, TrainSpec)}
    training = Training(found["teacher"].training, data, NoTeacher(), device)
    of = world.epochs(training)
    for _ in range(training.recipe.epochs if epochs is None else epochs):
        next(of)
    return Place(found, data, device, training.model)


def methods(at: Place, sizes: Sequence[int] = SIZES, seeds: Sequence[int] = SEEDS) -> dict[str, Strengths]:
    """Of each method as params.yaml has it, and of the networks that teach each other."""
    return {name: at.strengths(at.specs[name].training, sizes, seeds) for name in names(at)}


def names(at: Place) -> list[str]:
    """The methods of params.yaml: what learns from more than hard labels."""
    found = sorted(name for name in at.specs if name.startswith("method/") or name == "mutual")
    return [name for name in found if name == "mutual" or set(at.specs[name].training.objective) != {HARD}]


def defaults(at: Place, sizes: Sequence[int] = SIZES, seeds: Sequence[int] = SEEDS) -> Strengths:
    """Of each objective by itself, with its own default weight and settings, and of the variants."""
    named: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in OBJECTIVES.names() if name != HARD}
    found: Strengths = {}
    for label, (name, settings) in sorted((named | VARIANTS).items()):
        base = at.specs["mutual" if "peers" in OBJECTIVES.needs(name) else "student"].training
        objective = {name: complete_term(name, settings, name)}
        members = base.members and tuple(replace(each, objective=objective) for each in base.members)
        found[label] = at.strengths(replace(base, objective=objective, members=members), sizes, seeds)[name]
    return found


def rule(strength: Strength) -> float:
    """The default weight that this would be given: 1 where that gives 2 to 4 times cross entropy's gradient.

    Else what brings it to 3 times, rounded to one digit; of batches of 16 and 128, their geometric mean.
    """
    alone = math.sqrt(strength.median(16) * strength.median(128)) / strength.weight
    return 1.0 if GOOD[0] <= alone <= GOOD[1] else float(f"{SOUGHT / alone:.1g}")


@dataclass(frozen=True)
class Measured:
    """Both tables."""

    methods: dict[str, Strengths]
    defaults: Strengths


def measure(folder: Path, tiny: bool) -> Measured:
    """Both tables; `tiny` ones mean nothing."""
    at = place(folder, 1 if tiny else None)
    seeds = SEEDS[:1] if tiny else SEEDS
    return Measured(methods(at, SIZES, seeds), defaults(at, SIZES, seeds))


def read(path: Path) -> Measured:
    """What the command wrote."""
    value = json.loads(path.read_text())
    methods = {name: _strengths(of) for name, of in value["methods"].items()}
    return Measured(methods, _strengths(value["defaults"]))


def _strengths(value: Mapping[str, Any]) -> Strengths:
    return {term: Strength(**each) for term, each in value.items()}


def tables(of: Measured) -> dict[str, list[tuple[str, ...]]]:
    """Cells of both, by their names, header first: medians over the seeds."""
    sizes = [f"batch {size}" for size in SIZES]
    first: list[tuple[str, ...]] = [("method", "term", "weight", *sizes)]
    for name, strengths in of.methods.items():
        first += [(name.removeprefix("method/"), term, *_figures(each)) for term, each in strengths.items()]
    second: list[tuple[str, ...]] = [("objective", "weight", *sizes, "by the rule")]
    second += [(name, *_figures(each), f"{rule(each):g}") for name, each in of.defaults.items()]
    return {"methods": first, "defaults": second}


def _figures(of: Strength) -> list[str]:
    return [f"{of.weight:g}", *(f"{of.median(size):.2f}" for size in SIZES)]
