"""Normalised vectors and tables that stay finite where a norm is zero or a batch has one sample."""

import torch
from torch import Tensor

SHORTEST = 1e-12
ROUNDING = 1e-5  # of the numbers that a difference is made of: below it most of the difference is their rounding


def unit(x: Tensor, dim: int, of: Tensor | None = None) -> Tensor:
    """x / ||x||_2 along `dim`, same shape; a vector no longer than `SHORTEST` becomes 0 and gets no gradient.

    A dead layer gives zero vectors, and the usual x / max(||x||, eps) has a gradient of 1/eps there.

    Args:
        x: float32.
        dim: Along which a vector lies.
        of: Where x is a difference, the length of what was subtracted, (…, 1): a vector shorter than `ROUNDING` times
            that becomes 0, too. What is left of a constant row of 0.1 is 1e-8 and points anywhere.
    """
    norm = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    long = norm > (SHORTEST if of is None else (ROUNDING * of).clamp(min=SHORTEST))
    return torch.where(long, x / norm.where(long, 1.0), 0.0)


def centred(x: Tensor, dim: int) -> Tensor:
    """x less its mean along `dim`, as `unit` vectors, same shape: 0 where x is constant but for rounding."""
    length = torch.linalg.vector_norm(x.detach(), dim=dim, keepdim=True)
    return unit(x - x.mean(dim=dim, keepdim=True), dim, length)


def off_diagonal(table_BB: Tensor) -> Tensor:
    """The entries (i, j) with i != j, row by row: (B, B-1), which is empty for one sample."""
    rows = len(table_BB)
    return table_BB.flatten()[1:].view(rows - 1, rows + 1)[:, :-1].reshape(rows, rows - 1)
