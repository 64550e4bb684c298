"""Pick the best generation of the refinery, generation 0 included, by validation accuracy."""


def refined() -> None:
    """Pick the best generation of the refinery, generation 0 included, by validation accuracy."""
    from pipeline.console.progress import log
    from pipeline.lineage import node
    from pipeline.lineage.chain import best
    from pipeline.planning import specs

    spec = specs.read("refined")
    chain = node.read(spec["chain"]).chain
    winner = node.read(best(chain))
    node.carry("refined", winner)
    log("refined: " + ", ".join(f"{name} {100 * accuracy:.1f}" for name, accuracy in chain) + f"; best: {winner.name}")
