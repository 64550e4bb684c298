"""What a slot does when its turn comes: train, or carry its predecessor.

Carrying must cost nothing: torch, and what shows the result, are imported only where there is something to do.
"""

from collections.abc import Callable
from typing import TypeVar

from pipeline.console.progress import say
from pipeline.lineage import node
from pipeline.lineage.chain import stopped
from pipeline.planning.specs.slots import CarrySpec, SkipSpec
from pipeline.planning.specs.spec import NodeSpec, read_spec, read_spec_if

Spec = TypeVar("Spec", bound=NodeSpec)


def advance(name: str) -> None:
    """Run the stage of node `name` by its spec."""
    idle = read_spec_if(name, CarrySpec, SkipSpec)
    if isinstance(idle, SkipSpec):
        node.skip(name)
        say(f"{name}: not in params.yaml, skipped")
        return
    if idle:
        origin = node.carry(name, node.read(idle.previous)).origin
        say(f"{name}: beyond the asked length, carries {origin}")
        return
    from pipeline.planning.specs.training import TrainSpec

    spec = read_spec(name, TrainSpec)
    if spec.stop and spec.previous:
        previous = node.read(spec.previous)
        accuracies = [accuracy for _, accuracy in previous.chain]
        if previous.status == "carried" or stopped(accuracies, spec.stop.patience, spec.stop.min_gain):
            origin = node.carry(name, previous).origin
            say(f"{name}: validation accuracy has stopped rising, carries {origin}")
            return
    from pipeline.training.learn import learn

    perform(learn, spec)


def perform(work: Callable[[Spec], None], spec: Spec) -> None:
    """Do the work of a node, and show what came of it beside the last result."""
    from pipeline.console.training import closing
    from pipeline.dvc import previous_run

    name = spec.node
    before = previous_run.read(name)
    work(spec)
    closing(name, node.read_numbers(node.read(name).source), before)
