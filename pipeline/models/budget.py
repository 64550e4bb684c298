"""An architecture as wide as a budget allows: "50,000 parameters" finds the width."""

from collections.abc import Mapping
from typing import Any

import torch
from pydantic_core import PydanticCustomError

from pipeline.base.errors import UserError
from pipeline.config.network import complete_architecture
from pipeline.evaluation import cost
from pipeline.models.build import build

# What the families call their width: a number, or one a stage, whose proportions are kept.
WIDTHS = ("widths", "width", "widen")
WIDEST = 1 << 16


def fit_width(
    architecture: Mapping[str, Any],
    *,
    channels: int,
    size: int,
    classes: int,
    parameters: int | None = None,
    flops: int | None = None,
) -> dict[str, Any]:
    """The widest network of `architecture`'s proportions within the budget; with both limits, within both.

    Found by bisection over whole widths. `flops` are for one image, a multiply-add counting as two. Nothing
    is drawn from torch's generator.

    Raises:
        UserError: No limit is given, this architecture has no width that could be set, or even its narrowest
            network is beyond the limit.
    """
    architecture = _complete(architecture)
    limits = {"parameters": parameters, "flops": flops}
    limits = {name: limit for name, limit in limits.items() if limit is not None}
    if not limits:
        raise UserError("params.yaml, architecture: a budget needs parameters or flops: give one of them, or both")

    def excess(width: int) -> str | None:
        """The limit that this width breaks, in words."""
        with torch.device("meta"):
            model = build(_scaled(architecture, width), channels=channels, size=size, classes=classes)
        for name, limit in limits.items():
            has = cost.parameters(model) if name == "parameters" else cost.flops(model, channels, size)
            if has > limit:
                return f"{has:,} {name}, the budget is {limit:,}"
        return None

    if problem := excess(1):
        raise UserError(f"params.yaml, architecture: even the narrowest such network has {problem}: raise the budget")
    fits, beyond = 1, 2
    while beyond < WIDEST and not excess(beyond):
        fits, beyond = beyond, 2 * beyond
    while beyond - fits > 1:
        middle = (fits + beyond) // 2
        fits, beyond = (fits, middle) if excess(middle) else (middle, beyond)
    return _scaled(architecture, fits)


def _complete(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """With the family's defaults, so that a width that is not given is scaled, too."""
    try:
        return complete_architecture(architecture)
    except PydanticCustomError as error:
        raise UserError(f"params.yaml, architecture: {error.message()}") from None


def _scaled(architecture: Mapping[str, Any], width: int) -> dict[str, Any]:
    """The architecture whose widest stage has `width` channels; in groups, so many a group."""
    key = next((key for key in WIDTHS if architecture.get(key)), None)
    if key is None:
        raise UserError(
            f"params.yaml, architecture: a budget finds the width, but family {architecture.get('family')!r} "
            f"is given without {', '.join(WIDTHS[:-1])} or {WIDTHS[-1]}: add it, as its proportions are kept"
        )
    given = architecture[key]
    if isinstance(given, int):
        return {**architecture, key: width}
    unit = architecture["groups"] if architecture.get("kind") == "grouped" else 1
    widest = max(given)
    return {**architecture, key: [unit * max(1, round(width * each / widest)) for each in given]}
