"""Maps brought down to a smaller size by windows, with a backward pass that is the same each time on a GPU.

The windows are those of torch's adaptive pooling, whose backward pass adds up there in no fixed order.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def averaged(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(…, H, W) to (…, *size): the mean of each window. On a CPU the bits of adaptive pooling, where sizes divide."""
    if size == (1, 1):
        return x.mean(dim=(-2, -1), keepdim=True)
    kernel = _kernel(x, size)
    return F.avg_pool2d(x, kernel) if kernel else _by_windows(x, size, torch.mean)


def largest(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(…, H, W) to (…, *size): the largest entry of each window; the bits of adaptive pooling, as above.

    Where sizes do not divide, entries that are equally large share the gradient; else the first of them gets it.
    """
    kernel = _kernel(x, size)
    return F.max_pool2d(x, kernel) if kernel else _by_windows(x, size, torch.amax)


def _kernel(x: Tensor, size: tuple[int, int]) -> tuple[int, int] | None:
    """The one size of all windows, None where there is none. Such windows do not overlap."""
    height, width = x.shape[-2:]
    return None if height % size[0] or width % size[1] else (height // size[0], width // size[1])


def _by_windows(x: Tensor, size: tuple[int, int], reduce: Callable[..., Tensor]) -> Tensor:
    """One dimension after the other, window by window: window i of n covers floor(iL/n) to ceil((i+1)L/n) of L."""
    for dim, count in zip((-2, -1), size, strict=True):
        length = x.shape[dim]
        ends = [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]
        x = torch.stack([reduce(x.narrow(dim, start, end - start), dim=dim) for start, end in ends], dim=dim)
    return x
