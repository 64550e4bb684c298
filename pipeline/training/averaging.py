"""The moving average of a network's weights (Polyak and Juditsky 1992), as timm's ModelEmaV3 has it with warm-up.

After step t (from 1) it is d * average + (1 - d) * network, where d = min(decay, 1 - t^(-2/3)): the first step copies.
Running statistics of BatchNorm are averaged as weights are; what is no fraction, such as its counter, is copied.
"""

import copy

import torch
from torch import Tensor, nn

POWER = 2 / 3  # timm's warmup_power, at its warmup_gamma of 1


class Average(nn.Module):
    """A copy of a network, on its way after it.

    Args:
        of: The network.
        decay: What a step leaves of the average, once it is warm.
    """

    def __init__(self, of: nn.Module, decay: float) -> None:
        super().__init__()
        self.model = copy.deepcopy(of).eval().requires_grad_(False)
        self.decay = decay
        pairs = zip(self.model.state_dict().values(), of.state_dict().values(), strict=True)
        self._pairs = [(own, its) for own, its in pairs if isinstance(own, Tensor)]

    def gain(self, step: int) -> float:
        """What step `step`, from 1, takes of the network."""
        return 1 - min(self.decay, 1 - step**-POWER)

    @torch.no_grad()
    def follow(self, gain: float | Tensor) -> None:
        """Go so much of the way to the network: a number, or one on the device where a step is recorded."""
        for own, its in self._pairs:
            if own.is_floating_point():
                own.lerp_(its, gain)
            else:
                own.copy_(its)
