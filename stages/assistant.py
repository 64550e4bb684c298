"""Train one link of the teacher-assistant chain, or carry the one before."""

from typing import Annotated

from typer import Argument


def assistant(slot: Annotated[str, Argument(help="Slot of the chain, as in dvc.yaml.")]) -> None:
    """Train one link of the teacher-assistant chain, or carry the one before."""
    from pipeline.training.stage import advance

    advance(f"assistant/{slot}")
