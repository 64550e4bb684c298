"""A network of every family, as if it had been trained: batch norm's statistics are no longer 0 and 1."""

from typing import Any

import torch
from torch import nn

from pipeline.models.build import build

CHANNELS, SIZE, CLASSES = 1, 16, 5
DATA: dict[str, Any] = {"channels": CHANNELS, "size": SIZE}
ARCHITECTURES: list[dict[str, Any]] = [
    {"family": "plain", "widths": [6, 12]},
    {"family": "plain", "depth": 6},
    {"family": "residual", "depth": 14, "width": 6},
    {"family": "wide", "depth": 10, "widen": 1},
    {"family": "separable", "kind": "separable", "widths": [8, 16]},
    {"family": "separable", "kind": "grouped", "widths": [16, 32], "groups": 4},
    {"family": "separable", "kind": "bottleneck", "widths": [4, 8], "blocks": 2, "expansion": 2},
]


def plain(architecture: dict[str, Any]) -> nn.Module:
    """As node.json alone gives it."""
    return build(architecture, **DATA, classes=CLASSES)


def trained(architecture: dict[str, Any]) -> nn.Module:
    """In eval mode, with weights and statistics that are all different from their initial ones."""
    torch.manual_seed(0)
    net = plain(architecture)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.eval()


def images(count: int = 4, seed: int = 1) -> torch.Tensor:
    """Images x_BCHW."""
    return torch.randn(count, CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
