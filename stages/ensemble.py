"""Combine the born-again generations from what they have stored."""


def ensemble() -> None:
    """Combine the born-again generations from what they have stored."""
    from pipeline import specs
    from pipeline.vote import vote

    vote(specs.read("ensemble"))
