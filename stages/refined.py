"""Pick the best generation of the refinery, generation 0 included, by validation accuracy."""


def refined() -> None:
    """Pick the best generation of the refinery, generation 0 included, by validation accuracy."""
    from pipeline.console.progress import say
    from pipeline.lineage import node
    from pipeline.lineage.chain import best
    from pipeline.planning.specs.readers import RefinedSpec
    from pipeline.planning.specs.spec import read_spec

    chain = node.read(read_spec("refined", RefinedSpec).chain).chain
    winner = node.read(best(chain))
    node.carry("refined", winner)
    say("refined: " + ", ".join(f"{name} {100 * accuracy:.1f}" for name, accuracy in chain) + f"; best: {winner.name}")
