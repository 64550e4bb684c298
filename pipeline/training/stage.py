"""What a slot does when its turn comes: its work, which is mostly training, or carry its predecessor.

Carrying must cost nothing: torch, and what prints the result, are imported only where there is something to do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from pipeline.base.paths import DATA
from pipeline.console.progress import log
from pipeline.lineage import node
from pipeline.lineage.chain import stopped
from pipeline.planning.specs.slots import CarrySpec, SkipSpec
from pipeline.planning.specs.spec import NodeSpec, read_spec, read_spec_if

if TYPE_CHECKING:
    from pipeline.planning.specs.training import TrainSpec

AnyNodeSpec = TypeVar("AnyNodeSpec", bound=NodeSpec)


def advance(name: str) -> None:
    """Run the stage of node `name`: train, unless it carries."""
    if is_idle(name):
        return
    from pipeline.planning.specs.training import TrainSpec

    spec = read_spec(name, TrainSpec)
    if spec.stop and spec.previous:
        previous = node.read(spec.previous)
        figures, metric = [figure for _, figure in previous.chain], previous.metric
        if previous.status == "carried" or stopped(figures, spec.stop.patience, spec.stop.min_gain, metric):
            origin = node.carry(name, previous).origin
            way = "rising" if metric.rises else "falling"
            log(f"{name}: validation {metric.words} has stopped {way}, carries {origin}")
            return
    if spec.unlimited and _limits_nothing(spec):
        node.carry(name, node.read(spec.unlimited))
        log(f"{name}: {spec.unlimited} has a new view at each epoch, too: carries it")
        return
    from pipeline.training.learn import learn

    perform(learn, spec)


def _limits_nothing(spec: TrainSpec) -> bool:
    """Whether the distinct views of all others are as many as the epochs of this training."""
    from pipeline.data import prepared
    from pipeline.training.seen_views import limit

    data = prepared.read_header(DATA)
    return limit(spec, data.counts["train"], len(data.classes)) is None


def is_idle(name: str) -> bool:
    """Carry or skip where the spec of node `name` says so; whether it did."""
    spec = read_spec_if(name, CarrySpec, SkipSpec)
    if isinstance(spec, SkipSpec):
        node.skip(name)
        log(f"{name}: not in params.yaml, skipped")
    elif spec:
        origin = node.carry(name, node.read(spec.previous)).origin
        log(f"{name}: beyond the asked length, carries {origin}")
    return spec is not None


def perform(work: Callable[[AnyNodeSpec], None], spec: AnyNodeSpec) -> None:
    """Do the work of a node, and print its result beside that of the previous run."""
    from pipeline.console.training import closing
    from pipeline.dvc import previous_run

    name = spec.node
    before = previous_run.read(name)
    work(spec)
    closing(name, node.read_numbers(node.read(name).source), before)
