"""Train one born-again generation, or carry the one before."""

from typing import Annotated

from typer import Argument


def born_again(slot: Annotated[str, Argument(help="Slot of the chain, as in dvc.yaml.")]) -> None:
    """Train one born-again generation, or carry the one before."""
    from pipeline.training.stage import advance

    advance(f"born_again/{slot}")
