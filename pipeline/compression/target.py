"""How far a step goes: one of several measures, and what it may cost afterwards."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from pipeline.base.errors import UserError, innermost
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


def check_runs(model: nn.Module, channels: int, size: int, complaint: str, advice: str) -> None:
    """Refuse a network that a step has changed and that does not run: some read their layers in ways that no list of
    layers shows.

    Raises:
        UserError: "complaint (what torch says): advice".
    """
    if why := _stumbles(model, channels, size):
        raise UserError(f"{complaint} ({why}): {advice}")


def runs(model: nn.Module, channels: int, size: int) -> bool:
    """Whether a network answers an image."""
    return not _stumbles(model, channels, size)


def _stumbles(model: nn.Module, channels: int, size: int) -> str:
    """What a network says that does not answer an image, or nothing. It is left as it was."""
    some = next(model.parameters())
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, channels, size, size, device=some.device, dtype=some.dtype))
    except (MemoryError, OSError):
        raise
    except Exception as error:  # of whatever class: it is the network's own code
        return innermost(error)
    finally:
        for module, mode in modes.items():
            module.training = mode
    return ""
