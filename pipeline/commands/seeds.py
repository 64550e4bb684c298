"""One experiment over seeds: queue it, run it, and print the table of every network over the seeds.

Each seed is an experiment of DVC's, so that it resumes, is shared and is compared as any other. Its name is made of
what would be run: asking again for the same thing finds what is there and runs what is missing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.commands.compare import Cells
from pipeline.config import params
from pipeline.config.section import unknown
from pipeline.config.select import ACCURACY, Metric, metric_of
from pipeline.console.progress import log
from pipeline.dvc import experiments, queue
from pipeline.dvc.experiments import Experiment
from pipeline.evaluation.statistics import paired, summary
from pipeline.planning import build, graph

BASE = "baseline"


def names(count: int, overrides: Sequence[str], vary: Sequence[str], label: str) -> dict[str, list[str]]:
    """What to override for each seed, by the experiment's name; the first seed is that of params.yaml.

    Args:
        count: How many seeds.
        overrides: `key=value`, as of `dvc exp run -S`.
        vary: Which of the `seeds` section change.
        label: How the names begin; what follows is a hash of what is to be run, and the number.

    Raises:
        UserError: params.yaml, dvc.yaml or an override is wrong.
    """
    read = params.read(Path("params.yaml"))
    first = read.seeds.model_dump()
    if strange := [each for each in vary if each not in first]:
        raise UserError(unknown("seed", strange[0], first))
    for each in overrides:
        if each.partition("=")[0].lstrip("+~") in {f"seeds.{name}" for name in vary}:
            raise UserError(f"-S {each}: this seed is what changes; take it out, or vary another one")
    specs = build.build(read, graph.read(Path("dvc.yaml")))
    whole = {name: spec.as_json() for name, spec in specs.items()}
    content = files.digest([whole, [*overrides], [*vary]])[:6]
    return {
        f"{label}-{content}-{number}": [*overrides, *(f"seeds.{name}={first[name] + number}" for name in vary)]
        for number in range(count)
    }


def run(asked: dict[str, list[str]], jobs: int | None, only_queue: bool, on: str | None) -> list[Experiment]:
    """Queue what is neither done nor waiting, and run the queue to its end; return the experiments that are done.

    Args:
        asked: What to override, by the experiment's name.
        jobs, on: As of `queue.run`.

    Raises:
        UserError: DVC refuses an experiment, one has failed, or no worker is left to run those that wait.
    """
    queue.check()
    if gone := queue.clear(asked, log):
        log(f"{', '.join(gone)} had ended without a word, as if killed: queued again, to go on where training was")
    # One that has failed stays in DVC's list beside the same that was done later: of one name the better counts.
    known = {each.name: each for each in sorted(experiments.read(), key=lambda each: each.state != "failed")}
    for name, overrides in asked.items():
        state = known[name].state if name in known else "failed"
        if state == "failed":
            queue.add(name, overrides)
    if only_queue:
        log(f"queued {', '.join(asked)}: `dvc queue start` runs them, and this command again shows the result")
        return []
    left = {each.name: each.state for each in experiments.read() if each.name in asked and each.state is not None}
    if on is None and left:
        queue.run(asked, jobs or 1, log)
    elif on is not None and (waiting := [name for name in asked if left.get(name) == "queued"]):
        from pipeline.commands.queue import run_on  # and with it DVC's Python

        run_on(on, waiting, jobs)
    done = {each.name: each for each in experiments.read() if each.name in asked and each.state is None}
    if missing := [name for name in asked if name not in done]:
        why = f"`dvc queue status` and `dvc queue logs {missing[0]}` tell why" if on is None else "see above"
        raise UserError(f"{missing[0]} is not done: {why}; give the command again to run what is missing")
    return [done[name] for name in asked]


def lines(found: Sequence[Experiment]) -> Cells:
    """Cells of the table, header first: each network over the seeds in which it was trained.

    Figures are of the metric that decides. Differences are paired with the baseline of the same seed: mean, and
    Student's 95 % interval; without a baseline they are no column.
    """
    metric = _metric(found)
    order = [*found[0].lock.outs]  # that of the lineage; a generation may have been trained with some seeds only
    nodes = sorted(
        {name for each in found for name in each.numbers}, key=lambda name: order.index(f"metrics/{name}.json")
    )
    title = "validation" if metric is ACCURACY else f"validation {metric.words}"
    compared = [f"difference to {BASE}"] if BASE in nodes else []
    cells: Cells = [("node", "seeds", title, "test", *compared)]
    for name in nodes:
        having = [each.numbers for each in found if name in each.numbers]
        validation, test = ([each[name][split][metric.name] for each in having] for split in ("validation", "test"))
        pairs = [(its, each[BASE]["test"][metric.name]) for its, each in zip(test, having, strict=True) if BASE in each]
        cells.append(
            (
                name,
                str(len(having)),
                _spread(validation, metric),
                _spread(test, metric),
                *(["" if name == BASE or not pairs else _difference(pairs, metric)] if compared else []),
            )
        )
    return cells


def as_json(found: Sequence[Experiment]) -> list[dict[str, Any]]:
    """Every figure behind the table."""
    seeds, metric = ("seeds.data", "seeds.views", "seeds.train"), _metric(found).name
    return [
        {
            "name": each.name,
            "seeds": {key: each.parameters[key] for key in seeds},
            metric: {
                name: {split: numbers[split][metric] for split in ("validation", "test")}
                for name, numbers in each.numbers.items()
            },
        }
        for each in found
    ]


def _metric(found: Sequence[Experiment]) -> Metric:
    """The one that decides in them."""
    return metric_of(found[0].parameters.get("select"))


def _spread(values: Sequence[float], metric: Metric) -> str:
    found = summary(values)
    return metric.shown(found.mean) + ("" if found.deviation is None else f" ± {metric.shown(found.deviation)}")


def _difference(pairs: Sequence[tuple[float, float]], metric: Metric) -> str:
    found = paired([a for a, _ in pairs], [b for _, b in pairs])
    return metric.shown(found.mean, "+") if found.interval is None else metric.interval(found.mean, *found.interval)
