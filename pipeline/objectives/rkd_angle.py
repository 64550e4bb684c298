"""Relational knowledge distillation by the angles in triangles of samples."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.objectives.layers import pooled, summed
from pipeline.objectives.vectors import unit

LAYERS = "embedding"
WEIGHT = 7.0

CHUNK = 2**21
"""Numbers in the largest tensor that is made at once: 8 MB in float32; some ten of them live at a time."""


def rkd_angle(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Huber loss between the tables cos(angle at x_j between x_i and x_k) of student and teacher; float32.

    student, teacher: embeddings or logits (B, D), or maps (B, D, H, W), which are averaged over positions;
    D may differ; no gradient reaches the teacher (Park et al. 2019, section 3.2.2). Mean over the B^3
    entries of the table, those of fewer than three different samples included, as in the authors' code (the
    paper sums over triples); summed over the pairs of layers. The cosine is 0, and without
    gradient, where two points coincide but for rounding. A batch of one sample gives 0. Memory does not grow as
    B^3: see `_Chunked`. There is no second derivative.
    """
    return summed(_difference, student, teacher)


def _difference(s: Tensor, t: Tensor) -> Tensor:
    return cast(Tensor, _Chunked.apply(pooled(s), pooled(t)))


class _Chunked(torch.autograd.Function):
    """The loss and its gradient, a few vertices j at a time.

    A scalar's gradient can be made along with it, so that nothing of size B^3 is kept for the backward
    pass: that only scales it.
    """

    @staticmethod
    def forward(ctx: Any, s_BD: Tensor, t_BD: Tensor) -> Tensor:
        rows, taught = len(s_BD), ctx.needs_input_grad[0]
        step = max(1, CHUNK // (rows * max(rows, s_BD.shape[1], t_BD.shape[1])))
        leaf_BD = s_BD.detach().requires_grad_(taught)
        total = s_BD.new_zeros(())
        for first in range(0, rows, step):
            vertices = slice(first, first + step)
            with torch.set_grad_enabled(taught):
                s_VBB, t_VBB = _cosines(leaf_BD, vertices), _cosines(t_BD.detach(), vertices)
                part = F.smooth_l1_loss(s_VBB, t_VBB, reduction="sum") / rows**3
            if taught:
                part.backward()
            total += part.detach()
        ctx.grad_BD = leaf_BD.grad
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None]:
        return grads[0] * ctx.grad_BD, None


def _cosines(x_BD: Tensor, vertices: slice) -> Tensor:
    """Cosine of the angle at vertex v between samples i and k, at [v, i, k]: (V, B, B)."""
    length_B1 = torch.linalg.vector_norm(x_BD.detach(), dim=1, keepdim=True)
    rays_VBD = unit(x_BD[None] - x_BD[vertices, None], dim=2, of=length_B1[None] + length_B1[vertices, None])
    return rays_VBD @ rays_VBD.transpose(1, 2)
