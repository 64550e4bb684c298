"""Orders of compression steps compared over seeds: what each chain ends in, paired differences to the first.

Each chain runs as its stages do, from the same nodes, in a folder of its own, so that the workspace stays as it is. A
seed decides initialisation and order of every training of a chain; what two orders begin with alike is trained once.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.base.errors import UserError
from pipeline.base.paths import ARTIFACTS, METRICS, PLAN
from pipeline.compression.stage import run
from pipeline.config.compress import Compress
from pipeline.config.params import Params
from pipeline.config.section import wording
from pipeline.config.select import ACCURACY, Metric, metric_of, without_accuracy
from pipeline.console.progress import log
from pipeline.dvc.training_state import VARIABLE, state_root
from pipeline.evaluation.statistics import holm, p_value, paired, summary
from pipeline.lineage import node
from pipeline.planning.build import build
from pipeline.planning.specs.compress import ComputeStepSpec, TrainStepSpec
from pipeline.planning.specs.spec import Spec, write_specs


@dataclass(frozen=True)
class Chain:
    """One order, and what its last step reached with each seed: figures of the metric that decides, bytes of the file.

    select: that metric; None is accuracy.
    """

    order: tuple[str, ...]
    validation: tuple[float, ...]
    test: tuple[float, ...]
    bytes: tuple[int, ...]
    select: str | None = None

    @property
    def metric(self) -> Metric:
        """What its figures are of."""
        return metric_of(self.select)


def compare(params: Params, stages: dict[str, Any], orders: Sequence[str], seeds: Sequence[int]) -> list[Chain]:
    """Run each order, names joined by commas, with each seed.

    Raises:
        UserError: An order makes no sense, or what it starts from is not there yet.
    """
    planned = {
        (order, seed): _specs(params, stages, order.split(","), seed) for order in orders for seed in seeds
    }  # all of them first: a wrong name is refused before anything has run
    metric = metric_of(params.select)
    found = []
    with _apart():
        for order in orders:
            reached = [_run(planned[order, seed]) for seed in seeds]
            chain = Chain(
                tuple(order.split(",")),
                tuple(each["validation"][metric.name] for each in reached),
                tuple(each["test"][metric.name] for each in reached),
                tuple(each["bytes"] for each in reached),
                None if metric is ACCURACY else metric.name,
            )
            log(f"{order}: test {metric.named(summary(chain.test).mean)}")
            found.append(chain)
    return found


def table(chains: Sequence[Chain]) -> list[tuple[str, ...]]:
    """Cells, header first; accuracies in points, as all metrics but NLL."""
    metric = chains[0].metric
    title = "validation" if metric is ACCURACY else f"validation {metric.words}"
    cells: list[tuple[str, ...]] = [("order", title, "test", "difference to the first", "Holm's p", "bytes")]
    repeated = len(chains[0].test) > 1
    corrected = holm([p_value(chain.test, chains[0].test) for chain in chains[1:]]) if repeated else []
    for chain, p in zip_longest(chains, [None, *corrected]):
        reached, difference = summary(chain.test), paired(chain.test, chains[0].test)
        low, high = difference.interval or (difference.mean, difference.mean)
        cells.append(
            (
                " → ".join(chain.order),
                metric.shown(summary(chain.validation).mean),
                f"{metric.shown(reached.mean)} ± {metric.shown(reached.deviation or 0)}",
                "" if chain is chains[0] else metric.interval(difference.mean, low, high),
                "" if p is None else f"{p:.3f}",
                f"{summary(chain.bytes).mean:,.0f}",
            )
        )
    return cells


def as_json(chains: Sequence[Chain]) -> list[dict[str, Any]]:
    """Every figure behind the table."""
    return [without_accuracy(asdict(chain)) for chain in chains]


def _specs(params: Params, stages: dict[str, Any], order: list[str], seed: int) -> dict[str, Spec]:
    if params.compress is None:
        raise UserError("params.yaml: compress is null, and orders are of its steps: give compress")
    given = params.compress.model_dump(by_alias=True)
    try:
        section = Compress.model_validate({**given, "order": tuple(order), "seed": seed})
    except ValidationError as error:
        raise UserError(f"{','.join(order)}: {wording(error.errors()[0])}") from None
    return build(params.model_copy(update={"compress": section}), stages)


@contextmanager
def _apart() -> Iterator[None]:
    """Work in a temporary folder that sees all artifacts but those of the chain; training state stays where it is."""
    here, before = Path.cwd(), dict(os.environ)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for top in (ARTIFACTS, METRICS):
            (folder / top).mkdir()
            for each in (here / top).iterdir():
                if each.stem != "compress":
                    (folder / top / each.name).symlink_to(each)
        os.environ.update({VARIABLE: str(state_root()), "DVC_ROOT": str(here)})
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(here)
            os.environ.clear()
            os.environ.update(before)


def _run(specs: dict[str, Spec]) -> dict[str, Any]:
    """The metrics of the last step."""
    write_specs(specs, PLAN)
    steps = [spec for spec in specs.values() if isinstance(spec, TrainStepSpec | ComputeStepSpec)]
    for spec in steps:
        run(spec)
    return node.read_numbers(steps[-1].node)
