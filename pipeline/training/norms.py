"""BatchNorm in short trainings: running statistics that keep up, and a network that is left with those of its weights.

Some networks come with a momentum of 0.01 (MobileNetV3) or less, for trainings of many thousand steps: after 160 steps a
fifth of what they normalise by is still what they were initialised with, layer upon layer, and they classify at chance.

Legend: B batch, C channels, H = W edge in pixels.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

DEFAULT = 0.1  # torch's own momentum
MEMORY = 20  # at most this share of the steps, 1 / MEMORY, is what running statistics average over


def norms_of(model: nn.Module) -> list[_BatchNorm]:
    """The layers of a network that keep running statistics."""
    return [each for each in model.modules() if isinstance(each, _BatchNorm) and each.track_running_stats]


def quicken(model: nn.Module, steps: int) -> dict[str, float]:
    """Raise the momentum to min(0.1, 20 / steps) where it is below; return the new one of each layer that changed."""
    least, raised = min(DEFAULT, MEMORY / steps), {}
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            if module.momentum is not None and module.momentum < least:
                module.momentum = raised[name] = least
    return raised
