"""Train the same student straight from the teacher, without assistants."""


def direct() -> None:
    """Train the same student straight from the teacher, without assistants."""
    from pipeline.slot import advance

    advance("direct")
