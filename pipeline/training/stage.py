"""What a slot does when its turn comes: its work, which is mostly training, or carry its predecessor.

Carrying must cost nothing: torch, and what prints the result, are imported only where there is something to do.
"""

from collections.abc import Callable
from typing import Any

from pipeline.console.progress import log
from pipeline.lineage import node
from pipeline.lineage.chain import stopped
from pipeline.planning import specs


def advance(name: str, work: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Run the stage of node `name` by its spec; `work` is what it does unless it carries: to train."""
    spec = specs.read(name)
    if spec["action"] == "skip":
        node.skip(name)
        log(f"{name}: not in params.yaml, skipped")
        return
    if spec["action"] == "carry":
        origin = node.carry(name, node.read(spec["previous"])).origin
        log(f"{name}: beyond the asked length, carries {origin}")
        return
    if spec["follows"] and "stop" in spec:
        previous = node.read(spec["previous"])
        accuracies = [accuracy for _, accuracy in previous.chain]
        if previous.status == "carried" or stopped(accuracies, **spec["stop"]):
            origin = node.carry(name, previous).origin
            log(f"{name}: validation accuracy has stopped rising, carries {origin}")
            return
    if work is None:
        from pipeline.training.learn import learn as work
    perform(work, spec)


def perform(work: Callable[[dict[str, Any]], None], spec: dict[str, Any]) -> None:
    """Do the work of a node, and print its result beside that of the previous run."""
    from pipeline.console.training import closing
    from pipeline.dvc import previous_run

    name = spec["node"]
    before = previous_run.read(name)
    work(spec)
    closing(name, node.read_numbers(node.read(name).source), before)
