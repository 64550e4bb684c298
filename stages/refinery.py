"""Train one label-refinery generation, or carry the one before."""

from typing import Annotated

from typer import Argument


def refinery(slot: Annotated[str, Argument(help="Slot of the chain, as in dvc.yaml.")]) -> None:
    """Train one label-refinery generation, or carry the one before."""
    from pipeline.training.stage import advance

    advance(f"refinery/{slot}")
