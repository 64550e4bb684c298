"""Combine the born-again generations from what they have stored."""


def ensemble() -> None:
    """Combine the born-again generations from what they have stored."""
    from pipeline.lineage.ensemble import vote
    from pipeline.planning import specs

    vote(specs.read("ensemble"))
