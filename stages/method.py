"""Train the student by one method, from the same teacher and with the same budget."""

from typing import Annotated

from typer import Argument


def method(slot: Annotated[str, Argument(help="Name of the method, as in dvc.yaml.")]) -> None:
    """Train the student by one method, from the same teacher and with the same budget."""
    from pipeline.training.stage import advance

    advance(f"method/{slot}")
