"""The pick of the refinery: the best of its generations, generation 0 included, as a node of its own."""

from pipeline.console.progress import log
from pipeline.lineage import node
from pipeline.lineage.chain import best
from pipeline.planning.specs.readers import RefinedSpec


def pick(spec: RefinedSpec) -> None:
    """Carry the best generation on validation of the chain that `spec` names."""
    name, last = spec.node, node.read(spec.chain)
    winner = node.read(best(last.chain, last.metric))
    node.carry(name, winner)
    reached = ", ".join(f"{each} {last.metric.named(figure)}" for each, figure in last.chain)
    log(f"{name}: {reached}; best: {winner.name}")
