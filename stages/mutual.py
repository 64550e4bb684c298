"""Train networks that teach each other."""


def mutual() -> None:
    """Train networks that teach each other."""
    from pipeline.slot import advance

    advance("mutual")
