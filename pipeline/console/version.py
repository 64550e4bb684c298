"""`--version` of both command lines."""

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from pipeline.console.progress import emit

NAME = "cohobate"


def shown(asked: bool) -> None:
    """Print which release this is, and end."""
    if asked:
        try:
            emit(f"{NAME} {version(NAME)}")
        except PackageNotFoundError:
            emit(f"{NAME}, not installed: its code is run as it lies")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=shown, is_eager=True, help="Print which release this is, and end.")
]
