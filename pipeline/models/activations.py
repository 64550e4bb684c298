"""What a network keeps in memory for an image, which decides how many may be computed at once."""

from inspect import unwrap
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode


def largest_activation(model: nn.Module, channels: int, size: int) -> int:
    """Bytes of the largest tensor that an operation makes of one image (1, channels, size, size), in eval mode.

    It follows from the network, its input and what the device computes in one operation. The model is left as it was.
    """
    some = next(model.parameters())
    x_BCHW = torch.zeros(1, channels, size, size, device=some.device, dtype=some.dtype)
    training = {module: module.training for module in model.modules()}
    largest = _Largest()
    try:
        model.eval()
        with torch.no_grad(), largest:
            model(x_BCHW)
    finally:
        for module, mode in training.items():
            module.training = mode
    return max(largest.found, x_BCHW.nbytes)


class _Largest(TorchDispatchMode):
    """Looks for the largest tensor that an operation gives."""

    def __init__(self) -> None:
        super().__init__()
        self.found = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = func(*args, **(kwargs or {}))
        if not func.is_view:  # what only looks at another tensor, such as transposed weights, takes no memory
            tensors = given if isinstance(given, tuple | list) else [given]
            self.found = max(self.found, *(each.nbytes for each in tensors if isinstance(each, Tensor)), 0)
        return given


# Else each call of it imports torch.compile: a second of computing for each stage.
_Largest.__torch_dispatch__ = unwrap(_Largest.__torch_dispatch__)
