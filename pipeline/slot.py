"""What a slot does when its turn comes: train, or carry its predecessor.

Carrying must cost nothing: torch, and what shows the result, are imported only where there is something to do.
"""

from collections.abc import Callable
from typing import Any

from pipeline import node, specs
from pipeline.chain import stopped
from pipeline.progress import say


def advance(name: str) -> None:
    """Run the stage of node `name` by its spec."""
    spec = specs.read(name)
    if spec["action"] == "skip":
        node.skip(name)
        say(f"{name}: not in params.yaml, skipped")
        return
    if spec["action"] == "carry":
        origin = node.carry(name, node.read(spec["previous"])).origin
        say(f"{name}: beyond the asked length, carries {origin}")
        return
    if spec["follows"] and "stop" in spec:
        previous = node.read(spec["previous"])
        accuracies = [accuracy for _, accuracy in previous.chain]
        if previous.status == "carried" or stopped(accuracies, **spec["stop"]):
            origin = node.carry(name, previous).origin
            say(f"{name}: validation accuracy has stopped rising, carries {origin}")
            return
    from pipeline.training.learn import learn

    perform(learn, spec)


def perform(work: Callable[[dict[str, Any]], None], spec: dict[str, Any]) -> None:
    """Do the work of a node, and show what came of it beside the last result."""
    from pipeline import last
    from pipeline.terminal import closing

    name = spec["node"]
    before = last.read(name)
    work(spec)
    closing(name, node.read_numbers(node.read(name).source), before)
