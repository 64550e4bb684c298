"""Combine the born-again generations from what they have stored."""


def ensemble() -> None:
    """Combine the born-again generations from what they have stored."""
    from pipeline.lineage.ensemble import vote
    from pipeline.planning.specs.readers import EnsembleSpec
    from pipeline.planning.specs.spec import read_spec

    vote(read_spec("ensemble", EnsembleSpec))
