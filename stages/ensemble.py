"""Combine the born-again generations from what they have stored."""


def ensemble() -> None:
    """Combine the born-again generations from what they have stored."""
    from pipeline.lineage.ensemble import write_ensemble
    from pipeline.planning import specs

    write_ensemble(specs.read("ensemble"))
