"""Small faults that the tests must notice: a list an area. `python -m tests.mutants` plants them one at a time."""

import importlib
import pkgutil

from tests.mutants.mutant import Mutant


def areas() -> dict[str, list[Mutant]]:
    """All mutants, by the name of the module that lists them."""
    found: dict[str, list[Mutant]] = {}
    for module in pkgutil.iter_modules(__path__):
        listed = getattr(importlib.import_module(f"{__name__}.{module.name}"), "MUTANTS", None)
        if listed:
            found[module.name] = listed
    return found
