"""The pick of the refinery: the best of its generations, generation 0 included, as a node of its own."""

from pipeline.console.progress import log
from pipeline.lineage import node
from pipeline.lineage.chain import best
from pipeline.planning.specs.readers import RefinedSpec


def pick(spec: RefinedSpec) -> None:
    """Carry the generation of the highest validation accuracy of the chain that `spec` names."""
    name, chain = spec.node, node.read(spec.chain).chain
    winner = node.read(best(chain))
    node.carry(name, winner)
    log(f"{name}: " + ", ".join(f"{each} {100 * accuracy:.1f}" for each, accuracy in chain) + f"; best: {winner.name}")
