"""Train the student at the end of the assistant chain."""


def student() -> None:
    """Train the student at the end of the assistant chain."""
    from pipeline.training.stage import advance

    advance("student")
