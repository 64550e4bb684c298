"""Relational knowledge distillation by distances between the samples of a batch."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.objectives.layers import pooled, summed
from pipeline.objectives.vectors import ROUNDING

LAYERS = "embedding"
WEIGHT = 5.0


def rkd_distance(student: Sequence[Tensor], teacher: Sequence[Tensor], *, metric: Literal["l2", "l1"] = "l2") -> Tensor:
    """Huber loss between the tables ||x_i - x_j|| / mu of student and teacher; float32.

    student, teacher: embeddings or logits (B, D), or maps (B, D, H, W), which are averaged over positions;
    D may differ; no gradient reaches the teacher. mu is the mean of the positive distances of that
    network's batch, and gets gradient (Park et al. 2019, section 3.2.1; "l1" is a variant). The Huber loss
    turns linear at 1. Mean over the B^2 entries of the table, its zero diagonal included, as in the authors' code (the
    paper sums over the pairs); summed over the pairs of layers. A batch of one sample gives 0.
    """
    return summed(partial(_difference, norm=2.0 if metric == "l2" else 1.0), student, teacher)


def _difference(s: Tensor, t: Tensor, norm: float) -> Tensor:
    return F.smooth_l1_loss(_relative(pooled(s), norm), _relative(pooled(t), norm))


def _relative(x_BD: Tensor, norm: float) -> Tensor:
    """Distances between all samples, as multiples of their mean: (B, B).

    One that is no more than rounding of what was subtracted is 0. No gradient where one is 0.
    """
    # The faster way by a matrix product loses the small distances, which are differences of large numbers.
    table_BB = torch.cdist(x_BD, x_BD, p=norm, compute_mode="donot_use_mm_for_euclid_dist")
    length_B = torch.linalg.vector_norm(x_BD.detach(), norm, dim=1)
    table_BB = table_BB.where(table_BB > ROUNDING * (length_B + length_B[:, None]), 0.0)
    mean = table_BB.sum() / (table_BB > 0).sum().clamp(min=1)
    return table_BB / mean.where(mean > 0, 1.0)
