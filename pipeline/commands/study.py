"""The methods compared over seeds: weights tuned on validation, figures reported on test.

Every arm is the student of params.yaml, from the same teacher, with the same recipe, and gets the same number
of trials: hard labels choose a learning rate, a method chooses the weight of its own terms. Differences are
paired: a seed decides initialisation and order for all arms alike.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from typing import Any

import torch

from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.config.section import unknown
from pipeline.config.select import ACCURACY, Metric, metric_of, without_accuracy
from pipeline.console.progress import log
from pipeline.data import prepared
from pipeline.evaluation.metrics import measured
from pipeline.evaluation.statistics import holm, p_value, paired, summary
from pipeline.planning.specs.machine import MachineSpec
from pipeline.planning.specs.spec import Spec, SpecKind
from pipeline.planning.specs.training import TrainSpec
from pipeline.training.device import Device, choose
from pipeline.training.learn import answering, open_teacher, sized
from pipeline.training.loop import Training
from pipeline.training.seen_views import with_seen_views

FACTORS = (0.3, 1.0, 3.0)
TUNING_SEEDS = (1001, 1002)
HARD = "baseline"
SHARED = "cross_entropy"


@dataclass(frozen=True)
class Arm:
    """One method: the factor chosen on validation, and what it reached with each reported seed, as fractions.

    select: the metric that chose it and that its figures are of; None is accuracy.
    """

    name: str
    factor: float
    validation: tuple[float, ...]
    test: tuple[float, ...]
    seconds: float
    select: str | None = None

    @property
    def metric(self) -> Metric:
        """What its figures are of."""
        return metric_of(self.select)


def compare(specs: Mapping[str, Spec], names: Sequence[str], seeds: Sequence[int]) -> list[Arm]:
    """Tune and run each arm; the first is hard labels.

    Args:
        specs: What `plan` makes of params.yaml.
        names: Methods, by slot.
        seeds: Reported ones; tuning has its own.

    Raises:
        UserError: A method is not in params.yaml, or does not train the whole network.
    """
    _check(specs, names)
    data = prepared.read(DATA)
    device = choose(_of(specs, "machine", MachineSpec), _of(specs, HARD, TrainSpec).training.precision)
    select = _of(specs, HARD, TrainSpec).select
    metric = metric_of(select)
    arms = []
    for name in (HARD, *(f"method/{each}" for each in names)):
        tried = {
            factor: summary([_run(specs, name, factor, seed, data, device)[0] for seed in TUNING_SEEDS]).mean
            for factor in FACTORS
        }
        factor = max(tried, key=lambda each: metric.merit(tried[each]))
        began = time.perf_counter()
        reached = [_run(specs, name, factor, seed, data, device) for seed in seeds]
        seconds = (time.perf_counter() - began) / len(seeds)
        arm = Arm(name, factor, tuple(each[0] for each in reached), tuple(each[1] for each in reached), seconds, select)
        log(f"{name}: factor {factor}, test {metric.named(summary(arm.test).mean)}")
        arms.append(arm)
    return arms


def comparable(specs: Mapping[str, Spec]) -> list[str]:
    """The methods of params.yaml that train the whole network."""
    return [
        name.removeprefix("method/")
        for name, spec in specs.items()
        if name.startswith("method/") and isinstance(spec, TrainSpec) and spec.has_logits
    ]


def _check(specs: Mapping[str, Spec], names: Sequence[str]) -> None:
    """Refuse what is not a method to compare, or a comparison with nothing, before anything is trained."""
    if not isinstance(specs.get(HARD), TrainSpec):
        raise UserError(
            f"params.yaml: {HARD} is null, and study compares each method with it: give {HARD}, such as "
            f"`{HARD}: {{objective: {{cross_entropy: {{weight: 1.0}}}}}}`"
        )
    for name in names:
        if name not in comparable(specs):
            raise UserError(f"study: {unknown('method', name, comparable(specs))}")


def table(arms: Sequence[Arm]) -> list[tuple[str, ...]]:
    """Cells, header first; accuracies in points, as all metrics but NLL."""
    base, metric = arms[0], arms[0].metric
    title = "validation" if metric is ACCURACY else f"validation {metric.words}"
    header = ("method", "factor", title, "test", "difference to hard labels", "Holm's p", "seconds")
    cells: list[tuple[str, ...]] = [header]
    repeated = len(base.test) > 1
    corrected = holm([p_value(arm.test, base.test) for arm in arms[1:]]) if repeated else []
    for arm, p in zip_longest(arms, [None, *corrected]):
        reached = summary(arm.test)
        difference = paired(arm.test, base.test)
        low, high = difference.interval or (difference.mean, difference.mean)
        cells.append(
            (
                arm.name.removeprefix("method/").replace(HARD, "hard labels"),
                f"{arm.factor:g}",
                metric.shown(summary(arm.validation).mean),
                f"{metric.shown(reached.mean)} ± {metric.shown(reached.deviation or 0)}",
                "" if arm is base else metric.interval(difference.mean, low, high),
                "" if p is None else f"{p:.3f}",
                f"{arm.seconds:.1f}",
            )
        )
    return cells


def as_json(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """Every figure behind the table."""
    return [without_accuracy(asdict(arm)) for arm in arms]


def _of(specs: Mapping[str, Spec], name: str, kind: type[SpecKind]) -> SpecKind:
    spec = specs[name]
    assert isinstance(spec, kind)
    return spec


def _scaled(spec: TrainSpec, factor: float, seed: int) -> TrainSpec:
    """A spec with another seed, and the arm's one free setting times `factor`."""
    training = spec.training
    recipe, objective = training.recipe, training.objective
    if spec.node == HARD:
        recipe = recipe | {"lr": recipe["lr"] * factor}
    objective = {term: each if term == SHARED else _term(each, factor) for term, each in objective.items()}
    return replace(spec, training=replace(training, recipe=recipe, objective=objective, seed=seed))


def _term(settings: dict[str, Any], factor: float) -> dict[str, Any]:
    """A term that counts `factor` times as much."""
    final = None if settings["final"] is None else settings["final"] * factor
    key = "balance" if "balance" in settings else "weight"
    return settings | {key: settings[key] * factor, "final": final}


def _run(
    specs: Mapping[str, Spec], name: str, factor: float, seed: int, data: prepared.Prepared, device: Device
) -> tuple[float, float]:
    """Of one training, on validation and test: the metric that decides."""
    training = _train(specs, name, factor, seed, data, device)
    network = training.learners[0].final.eval()
    metric = metric_of(_of(specs, name, TrainSpec).select).name
    found = []
    for split in (data.validation, data.test):
        z_NC = answering(training, split)(network, 0)
        found.append(measured(z_NC, torch.from_numpy(split.labels.copy()), [metric])[metric])
    return found[0], found[1]


def _train(
    specs: Mapping[str, Spec], name: str, factor: float, seed: int, data: prepared.Prepared, device: Device
) -> Training:
    """One training from the first step to the last; a method that starts from another's weights has that one first."""
    spec = sized(_scaled(_of(specs, name, TrainSpec), factor, seed), data)
    spec = with_seen_views(spec, len(data.train), len(data.classes))
    teacher, _ = open_teacher(spec, data, device)
    training = Training(spec.training, data, teacher, device)
    if spec.initial:
        before = _train(specs, spec.initial, 1.0, seed, data, device)
        training.model.load_state_dict(before.model.state_dict())
    for _ in range(training.recipe.epochs):
        for _ in training.epoch():
            pass
        training.at.epoch += 1
    return training
