"""Relational knowledge distillation by the angles in triangles of samples."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from pipeline.objectives.layers import pooled, summed
from pipeline.objectives.vectors import unit

LAYERS = "embedding"

CHUNK = 2**22
"""Numbers in the largest tensor that is made at once: 16 MB; some ten of them live at a time."""


def rkd_angle(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Huber loss between the tables cos(angle at x_j between x_i and x_k) of student and teacher; float32.

    student, teacher: embeddings or logits (B, D), or maps (B, D, H, W), which are averaged over positions;
    D may differ; no gradient reaches the teacher (Park et al. 2019, eq. 8-10). Mean over the B^3
    entries of the table, those of fewer than three different samples included, as in the authors' code (the
    paper sums over triples); summed over the pairs of layers. The cosine is 0, and without
    gradient, where two points coincide. A batch of one sample gives 0. Memory does not grow as B^3: a
    few vertices j are done at a time, and once more in the backward pass.
    """
    return summed(_difference, student, teacher)


def _difference(s: Tensor, t: Tensor) -> Tensor:
    s_BD, t_BD = pooled(s), pooled(t)
    rows = len(s_BD)
    widest = max(rows, s_BD.shape[1], t_BD.shape[1])
    step = max(1, CHUNK // (rows * widest))
    total = s_BD.new_zeros(())
    for first in range(0, rows, step):
        vertices = slice(first, first + step)
        part = checkpoint(_chunk, s_BD, t_BD, vertices, use_reentrant=False, preserve_rng_state=False)
        total = total + cast(Tensor, part)
    return total / rows**3


def _chunk(s_BD: Tensor, t_BD: Tensor, vertices: slice) -> Tensor:
    """Sum of the Huber losses of all angles at some vertices."""
    return F.smooth_l1_loss(_cosines(s_BD, vertices), _cosines(t_BD, vertices), reduction="sum")


def _cosines(x_BD: Tensor, vertices: slice) -> Tensor:
    """Cosine of the angle at vertex v between samples i and k, at [v, i, k]: (V, B, B)."""
    rays_VBD = unit(x_BD[None] - x_BD[vertices, None], dim=2)
    return rays_VBD @ rays_VBD.transpose(1, 2)
