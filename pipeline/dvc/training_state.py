"""Where the state of training lies: what a killed stage goes on from, and what runs tells of itself."""

import os
from pathlib import Path

from pipeline.base.errors import UserError
from pipeline.dvc import cache

VARIABLE = "COHOBATE_STATE"


def state_root() -> Path:
    """The folder of all training state: `$COHOBATE_STATE`, else beside the DVC cache.

    Raises:
        UserError: Outside of a DVC repository, or where DVC is not installed, and without the variable.
    """
    if given := os.environ.get(VARIABLE):
        return Path(given)
    found = cache.folder()
    if found is not None:
        return found.parent / "training-state"
    why = (
        "DVC is not installed here: install it"
        if cache.repository()
        else "no .dvc folder here or above: run in the repository"
    )
    raise UserError(f"{why}, or set {VARIABLE} to a folder for training state")
