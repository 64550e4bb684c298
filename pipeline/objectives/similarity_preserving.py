"""Similarity-preserving distillation: samples alike to the teacher shall be alike to the student."""

from collections.abc import Sequence

from torch import Tensor

from pipeline.objectives.layers import summed
from pipeline.objectives.vectors import unit

LAYERS = "stages"


def similarity_preserving(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """||G_t - G_s||_F^2 / B^2 with G = F F^T, each row divided by its L2 norm; float32.

    student, teacher: any layers, flattened to F (B, C*H*W), of any shape each; no gradient reaches the
    teacher (Tung & Mori 2019, eq. 1-4). Summed over the pairs of layers. The paper weighs it by
    3000. A row of zeros stays 0. A batch of one sample gives 0.
    """
    return summed(_difference, student, teacher)


def _difference(s: Tensor, t: Tensor) -> Tensor:
    return (_similarity(t.flatten(1)) - _similarity(s.flatten(1))).square().mean()


def _similarity(f_BD: Tensor) -> Tensor:
    return unit(f_BD @ f_BD.T, dim=1)
