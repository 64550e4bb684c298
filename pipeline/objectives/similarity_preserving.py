"""Similarity-preserving distillation: samples alike to the teacher shall be alike to the student."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from torch import Tensor

from pipeline.objectives.layers import summed
from pipeline.objectives.vectors import unit

LAYERS = "stages"
WEIGHT = 70.0

BATCH = 64
"""The batch of which both normalisations give the same value."""


def similarity_preserving(
    student: Sequence[Tensor], teacher: Sequence[Tensor], *, normalisation: Literal["paper", "rows"] = "paper"
) -> Tensor:
    """||G_t - G_s||_F^2 / B^2 with G = F F^T, each row divided by its L2 norm; float32.

    student, teacher: any layers, flattened to F (B, C*H*W), of any shape each; no gradient reaches the
    teacher (Tung & Mori 2019, eq. 1-4). Summed over the pairs of layers. The paper weighs it by
    3000. Rows have length 1, so this falls as 1/B. "rows" does not depend on the batch: the mean over rows of their
    squared distance, / `BATCH`, so that one weight serves both. A row of zeros stays 0. A batch of one sample gives 0.
    """
    return summed(partial(_difference, by_rows=normalisation == "rows"), student, teacher)


def _difference(s: Tensor, t: Tensor, by_rows: bool) -> Tensor:
    squares_BB = (_similarity(t.flatten(1)) - _similarity(s.flatten(1))).square()
    return squares_BB.sum(dim=1).mean() / BATCH if by_rows else squares_BB.mean()


def _similarity(f_BD: Tensor) -> Tensor:
    return unit(f_BD @ f_BD.T, dim=1)
