"""Pick the best generation of the refinery, generation 0 included, by validation accuracy."""


def refined() -> None:
    """Pick the best generation of the refinery, generation 0 included, by validation accuracy."""
    from pipeline import files, node
    from pipeline.chain import best
    from pipeline.paths import PLAN
    from pipeline.progress import say

    spec = files.read_json(PLAN / "refined.json")
    chain = node.read(spec["chain"]).chain
    winner = node.read(best(chain))
    node.carry("refined", winner)
    say("refined: " + ", ".join(f"{name} {100 * accuracy:.1f}" for name, accuracy in chain) + f"; best: {winner.name}")
