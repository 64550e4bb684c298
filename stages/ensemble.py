"""Combine the born-again generations from what they have stored."""


def ensemble() -> None:
    """Combine the born-again generations from what they have stored."""
    from pipeline import files
    from pipeline.paths import PLAN
    from pipeline.vote import vote

    vote(files.read_json(PLAN / "ensemble.json"))
