"""Pooling by windows against torch's adaptive pooling."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.objectives.windows import averaged, largest

PAIRS = [(averaged, F.adaptive_avg_pool2d), (largest, F.adaptive_max_pool2d)]
DIVIDING = [((8, 8), (4, 4)), ((8, 4), (2, 4)), ((12, 6), (3, 1)), ((8, 8), (8, 8)), ((8, 8), (1, 1)), ((2, 2), (1, 1))]
OTHER = [((7, 7), (4, 4)), ((8, 7), (3, 5)), ((14, 14), (4, 14)), ((5, 6), (2, 3))]


def result(pool: Callable[..., Tensor], x: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """What comes out, and the gradient of a random weighting of it."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y = pool(x, size)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((y * weights).sum(), x)
    return y.detach(), gradient


@pytest.mark.parametrize(("own", "theirs"), PAIRS)
@pytest.mark.parametrize(("edges", "size"), DIVIDING, ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_where_sizes_divide_the_bits_are_those_of_adaptive_pooling(
    own: Callable[..., Tensor],
    theirs: Callable[..., Tensor],
    edges: tuple[int, int],
    size: tuple[int, int],
    layout: torch.memory_format,
) -> None:
    """Of activations, many of which are zero and so equally large."""
    x_BCHW = torch.randn(3, 5, *edges, generator=torch.Generator().manual_seed(0)).relu()
    x_BCHW = x_BCHW.contiguous(memory_format=layout)
    for x in (x_BCHW, x_BCHW[0].contiguous()):
        assert all(map(torch.equal, result(own, x, size), result(theirs, x, size)))


@pytest.mark.parametrize(("own", "theirs"), PAIRS)
@pytest.mark.parametrize(("edges", "size"), OTHER, ids=str)
def test_where_they_do_not_windows_are_the_same(
    own: Callable[..., Tensor], theirs: Callable[..., Tensor], edges: tuple[int, int], size: tuple[int, int]
) -> None:
    x_BCHW = torch.randn(2, 3, *edges, generator=torch.Generator().manual_seed(0))
    for found, expected in zip(result(own, x_BCHW, size), result(theirs, x_BCHW, size), strict=True):
        torch.testing.assert_close(found, expected)
