"""Loss scaling for float16, whose smallest numbers are larger than many gradients (Micikevicius et al. 2018).

Losses go backward times a scale, and gradients are divided by it. Where one is not finite the step is left out and the
scale halved; after 2000 steps without that it is doubled, as torch's GradScaler has it. All of it happens on the
device: nobody waits for a number, so that a step can be recorded, and the scale is saved with the weights.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pipeline.base.errors import UserError

FIRST, GROWTH, BACKOFF, INTERVAL = 2.0**16, 2.0, 0.5, 2000


class LossScale(nn.Module):
    """The scale of one network's losses.

    Args:
        where: The device.
        optimizer: Steps the network; it must be one of torch's fused ones, which skip a step by themselves.
    """

    scale: Tensor
    growing: Tensor

    def __init__(self, where: torch.device, optimizer: Optimizer) -> None:
        super().__init__()
        if not all(group.get("fused") for group in optimizer.param_groups):
            raise UserError(
                f"machine.precision is float16, which needs a fused optimiser, and {type(optimizer).__name__} is none: "
                "take sgd or adamw, or another precision"
            )
        self.register_buffer("scale", torch.full((), FIRST, device=where))
        self.register_buffer("growing", torch.zeros((), dtype=torch.int32, device=where))
        self.found = torch.zeros((), device=where)  # 1 where a gradient of this step is not finite
        self._optimizer: Any = optimizer  # whose type does not declare what a fused one reads
        # Torch makes SGD's buffers in the first step without a number in them, and leaves them so where it is skipped.
        for group in optimizer.param_groups:
            for each in group["params"] if group.get("momentum") else ():
                optimizer.state[each]["momentum_buffer"] = torch.zeros_like(each)

    def scaled(self, losses: Sequence[Tensor]) -> list[Tensor]:
        """What goes backward."""
        return [self.scale * each for each in losses]

    @torch.no_grad()
    def unscale(self, gradients: list[Tensor]) -> None:
        """Divide the gradients by the scale, in place, and note whether all are finite."""
        self.found.zero_()
        torch._amp_foreach_non_finite_check_and_unscale_(  # pyright: ignore[reportPrivateImportUsage]
            gradients, self.found, self.scale.double().reciprocal().float()
        )

    def finite(self, steepest: Tensor) -> Tensor:
        """The gradient's largest entry; 0 of a step that is left out."""
        return torch.where(self.found > 0, torch.zeros_like(steepest), steepest)

    @torch.no_grad()
    def step(self) -> None:
        """A step of the optimiser, unless a gradient was not finite; then the scale for the next one."""
        self._optimizer.grad_scale = None
        self._optimizer.found_inf = self.found
        self._optimizer.step()
        torch._amp_update_scale_(  # pyright: ignore[reportPrivateImportUsage]
            self.scale, self.growing, self.found, GROWTH, BACKOFF, INTERVAL
        )
