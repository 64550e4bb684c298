"""How far a step goes: one of several measures, and what it may cost afterwards."""

from collections.abc import Callable
from typing import Any

from torch import nn

from pipeline.base.errors import UserError
from pipeline.evaluation import cost


def only(step: str, **options: Any) -> tuple[str, Any]:
    """The one option that is given: its name and its value. None, or two, are a `UserError`."""
    given = {name: value for name, value in options.items() if value is not None}
    if len(given) == 1:
        return next(iter(given.items()))
    raise UserError(
        f"params.yaml, compress.steps: a step of {step} takes exactly one of {', '.join(options)}, "
        f"not {', '.join(given) or 'none'}"
    )


def measure(name: str, channels: int, size: int) -> Callable[[nn.Module], int]:
    """What counts the `parameters` of a model, or its `flops` for one image."""
    if name == "parameters":
        return cost.parameters
    return lambda model: cost.flops(model, channels, size)


def absolute(target: int | float, before: int) -> int:
    """A whole number stands for itself, a share is of what there was `before`."""
    return target if isinstance(target, int) else int(target * before)
