"""Train networks that teach each other."""


def mutual() -> None:
    """Train networks that teach each other."""
    from pipeline.training.stage import advance

    advance("mutual")
