"""Train the first network of the lineage, or take in one that was trained elsewhere."""


def teacher() -> None:
    """Train the first network of the lineage, or take in one that was trained elsewhere."""
    from pipeline.training.stage import advance

    advance("teacher")
