"""Normalised vectors and tables that stay finite where a norm is zero or a batch has one sample."""

import torch
from torch import Tensor

SHORTEST = 1e-12


def unit(x: Tensor, dim: int) -> Tensor:
    """x / ||x||_2 along `dim`, same shape; a vector no longer than `SHORTEST` becomes 0 and gets no gradient.

    A dead layer gives zero vectors, and the usual x / max(||x||, eps) has a gradient of 1/eps there.
    """
    norm = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    long = norm > SHORTEST
    return torch.where(long, x / norm.where(long, 1.0), 0.0)


def off_diagonal(table_BB: Tensor) -> Tensor:
    """The entries (i, j) with i != j, row by row: (B, B-1), which is empty for one sample."""
    rows = len(table_BB)
    return table_BB.flatten()[1:].view(rows - 1, rows + 1)[:, :-1].reshape(rows, rows - 1)
