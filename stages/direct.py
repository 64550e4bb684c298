"""Train the same student straight from the teacher, without assistants."""


def direct() -> None:
    """Train the same student straight from the teacher, without assistants."""
    from pipeline.training.stage import advance

    advance("direct")
