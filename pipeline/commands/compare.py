"""Experiments side by side: which parameters differ, what came of it, and which stages they share.

Bare `dvc exp show` prints every parameter and every dependency and has no option for less. Experiments that
differ in nothing but their seeds, such as those of `python -m pipeline seeds`, are one column: mean and deviation.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.base.errors import UserError
from pipeline.config.section import unknown
from pipeline.config.select import ACCURACY, METRICS
from pipeline.dvc import experiments
from pipeline.dvc.experiments import Experiment
from pipeline.evaluation.statistics import paired, summary

Cells = list[tuple[str, ...]]
SEEDS = "seeds."
UNCOUNTED = ("plan", "summary", "report")  # they read everything, and train nothing


@dataclass(frozen=True)
class Column:
    """An experiment, or several that differ in nothing but their seeds."""

    name: str
    members: tuple[Experiment, ...]

    @property
    def parameters(self) -> dict[str, Any]:
        """What all share, and the seeds of each."""
        found = {}
        for key in self.members[0].parameters:
            values = list(dict.fromkeys(str(each.parameters.get(key)) for each in self.members))
            found[key] = self.members[0].parameters[key] if len(values) == 1 else ", ".join(sorted(values))
        return found

    def values(self, key: str) -> dict[str, float]:
        """A figure of each member that has it, by the member's seeds."""
        metric = key.partition(".")[0]
        found = ((seed_of(each), figures(each, [metric]).get(key)) for each in self.members)
        return {seed: value for seed, value in found if value is not None}


def columns(names: Sequence[str]) -> list[Column]:
    """The experiments of these names in that order, or all that have figures, one column a set of parameters.

    `x` stands for x-0, x-1, … too. Where several are named and nothing but their seeds differs, each name is a column.

    Raises:
        UserError: One is unknown or not done yet, none has figures, or DVC cannot show any.
    """
    known = {each.name: each for each in experiments.read() if each.parameters}
    chosen: dict[str, list[Experiment]] = {}
    for name in names or [each for each in known if known[each].state is None and figures(known[each])]:
        seeds = re.compile(rf"{re.escape(name)}(-[0-9a-f]{{6}})?-\d+")
        matching = [name] if name in known else sorted(filter(seeds.fullmatch, known))
        if not matching:
            raise UserError(f"{unknown('experiment', name, known)}; `dvc exp list` names them")
        for each in matching:
            if known[each].state is not None:
                raise UserError(f"experiment {each!r} is {known[each].state}: see `dvc queue status`")
        chosen[name] = [known[each] for each in matching]
    if not chosen:
        raise UserError("nothing has run yet that could be compared: run `dvc repro`, or `dvc exp run -S key=value`")
    groups: dict[str, list[Experiment]] = {}
    for each in {each.name: each for found in chosen.values() for each in found}.values():
        settings = {key: value for key, value in each.parameters.items() if not key.startswith(SEEDS)}
        groups.setdefault(json.dumps(settings, sort_keys=True), []).append(each)
    together = chosen if len(groups) == 1 and len(names) > 1 else groups
    return [column for members in together.values() for column in _group(members)]


def _group(members: Sequence[Experiment]) -> list[Column]:
    """One column for all seeds; one each where there is a single seed, such as the workspace's and the commit's."""
    distinct = {seed_of(each): each for each in members}
    if len(distinct) == 1:
        return [Column(each.name, (each,)) for each in members]
    name = re.sub(r"-\d+$", "", members[-1].name)
    return [Column(f"{name} ({len(distinct)} seeds)", tuple(distinct.values()))]


def seed_of(each: Experiment) -> str:
    """The seeds of an experiment, as a key: two experiments of the same ones are a pair."""
    return json.dumps({key: value for key, value in each.parameters.items() if key.startswith(SEEDS)})


def figures(each: Experiment, metrics: Iterable[str] = ()) -> dict[str, float]:
    """The figures of metrics/summary.json, and the accuracies of all other networks that the cache knows.

    metrics: what else of these networks; names that are none are left out.
    """
    nodes = {
        f"{metric}.{split}.{name}": numbers[split].get(metric)
        for metric in metrics
        if metric in METRICS and metric != ACCURACY.name
        for split in ("validation", "test")
        for name, numbers in each.numbers.items()
    } | {
        f"{split}.{name}": numbers[split]["accuracy"]
        for split in ("validation", "test")
        for name, numbers in each.numbers.items()
    }
    return {key: value for key, value in {**nodes, **each.summary}.items() if isinstance(value, int | float)}


def parameters(shown: Sequence[Column]) -> Cells:
    """Cells of the parameters that differ, a column an experiment, header first."""
    chosen = [each.parameters for each in shown]
    keys = sorted({key for each in chosen for key in each})
    differing = [key for key in keys if len({json.dumps(each.get(key)) for each in chosen}) > 1]
    return [
        ("parameter", *(each.name for each in shown)),
        *((key, *(_text(each.get(key)) for each in chosen)) for key in differing),
    ]


def changes(shown: Sequence[Column]) -> tuple[Cells, list[str]]:
    """Cells of the figures that differ, each beside its difference to the first column; the keys that do not.

    Beside accuracies, by each other metric that decides in one of them.
    """
    first, *others = shown
    members = [each for column in shown for each in column.members]
    metrics = [name for each in members if (name := each.parameters.get("select")) is not None]
    keys = dict.fromkeys(key for each in members for key in figures(each, metrics))
    cells: Cells = [("figure", *(each.name for each in shown))]
    same = []
    for key in sorted(keys, key=_rank):
        if len({frozenset(each.values(key).values()) for each in shown}) == 1 and len(shown) > 1:
            same.append(key)
        else:
            reached = [first.values(key), *(each.values(key) for each in others)]
            differences = ["", *(_difference(key, each, reached[0]) for each in reached[1:])]
            cells.append((key, *(f"{_value(key, a)} {b}".strip() for a, b in zip(reached, differences, strict=True))))
    return cells, same


def alike(same: Sequence[str]) -> list[str]:
    """The figures that are the same in all, a network of which validation and test are named once."""
    whole = {key for key in same if {f"validation.{_name(key)}", f"test.{_name(key)}"} <= {*same}}
    return list(dict.fromkeys(_name(key) if key in whole else key for key in same))


def _name(key: str) -> str:
    return key.removeprefix("validation.").removeprefix("test.")


def sharing(shown: Sequence[Column]) -> list[str]:
    """A sentence a column: the stages that one run served for it and the first column, and those of its own.

    A stage is shared where it read and left the same, its timings included. Experiments of several seeds are
    compared seed by seed; those of the first column with one another.
    """
    first = shown[0]
    by_seed = {seed_of(each): each for each in first.members}
    sentences = []
    for column in shown:
        partners = [
            first.members[0] if column is first else by_seed.get(seed_of(each), first.members[0])
            for each in column.members
        ]
        pairs = [
            (a, b)
            for a, b in zip(partners, column.members, strict=True)
            if a is not b and a.lock.stages and b.lock.stages
        ]
        if not pairs:
            continue
        stages = [name for name in {**pairs[0][0].lock.stages, **pairs[0][1].lock.stages} if name not in UNCOUNTED]
        own = [name for name in stages if any(_record(a, name) != _record(b, name) for a, b in pairs)]
        whom = "among its seeds" if column is first else f"with {first.name}"
        rest = f"; its own: {', '.join(ranges(own, stages))}" if own else ""
        sentences.append(f"{column.name} shares {len(stages) - len(own)} of {len(stages)} stages {whom}{rest}")
    return sentences


def ranges(some: Sequence[str], stages: Sequence[str]) -> list[str]:
    """Some of the stages in few words: neighbouring slots of one family as `family@first..last`."""
    runs: list[list[str]] = []
    for at, name in enumerate(stages):
        if name not in some:
            continue
        before = stages[at - 1] if at else ""
        if runs and runs[-1][-1] == before and before.partition("@")[0] == name.partition("@")[0]:
            runs[-1].append(name)
        else:
            runs.append([name])
    return [run[0] if len(run) == 1 else f"{run[0]}..{run[-1].partition('@')[2]}" for run in runs]


def _record(each: Experiment, stage: str) -> Any:
    """What a stage read and left, by content."""
    recorded = each.lock.stages.get(stage, {})
    return [sorted((item["path"], item.get("md5")) for item in recorded.get(part, [])) for part in ("deps", "outs")]


def _rank(key: str) -> int:
    """Accuracies first, then other metrics of networks, in the order of the lineage."""
    first = key.partition(".")[0]
    return {"validation": 0, "test": 1}.get(first, 2 if first in METRICS else 3)


def _scaled(key: str, value: float, form: str = "") -> str:
    """A figure as it is read: what networks reach in the metric's unit."""
    if _rank(key) < 3:
        return METRICS.get(key.partition(".")[0], ACCURACY).shown(value, form)
    return f"{value:{form}.4g}"


def _value(key: str, values: dict[str, float]) -> str:
    if not values:
        return "-"
    found = summary([*values.values()])
    return _scaled(key, found.mean) + ("" if found.deviation is None else f" ± {_scaled(key, found.deviation)}")


def _difference(key: str, values: dict[str, float], base: dict[str, float]) -> str:
    """In brackets: the difference to the base; over the seeds that both have, with its interval."""
    if not values or not base:
        return ""
    common = [seed for seed in values if seed in base]
    if len(common) < 2:
        return f"({_scaled(key, summary([*values.values()]).mean - summary([*base.values()]).mean, '+')})"
    found = paired([values[seed] for seed in common], [base[seed] for seed in common])
    low, high = found.interval or (found.mean, found.mean)
    return f"({_scaled(key, found.mean, '+')} [{_scaled(key, low, '+')}, {_scaled(key, high, '+')}])"


def _text(value: Any) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
