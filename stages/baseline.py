"""Train the student's architecture on hard labels only: what distillation is compared with."""


def baseline() -> None:
    """Train the student's architecture on hard labels only: what distillation is compared with."""
    from pipeline.training.stage import advance

    advance("baseline")
