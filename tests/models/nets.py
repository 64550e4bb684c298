"""Architectures of every family that the tests build, small enough to run in milliseconds."""

from typing import Any

from torch import nn

OWN: list[dict[str, Any]] = [
    {"family": "plain", "widths": [4, 8]},
    {"family": "plain", "widths": [3]},
    *({"family": "plain", "depth": depth} for depth in (2, 4, 6, 8, 10)),
    {"family": "residual", "depth": 8, "width": 4},
    {"family": "residual", "depth": 14, "width": 3},
    {"family": "wide", "depth": 10, "widen": 1, "dropout": 0.3},
    {"family": "wide", "depth": 16, "widen": 2},
]


def taps(net: nn.Module) -> tuple[str, ...]:
    """A net's taps, typed: a module's attributes are of no type that a checker knows."""
    names: Any = net.taps
    return names


def parameters(net: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in net.parameters())
