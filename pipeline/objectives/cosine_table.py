"""The table of cosine similarities between the samples of a batch."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from pipeline.objectives.layers import summed
from pipeline.objectives.vectors import off_diagonal, unit

LAYERS = "embedding"
WEIGHT = 4.0


def cosine_table(
    student: Sequence[Tensor], teacher: Sequence[Tensor], *, loss: Literal["squared", "huber"] = "squared"
) -> Tensor:
    """(cos(s_i, s_j) - cos(t_i, t_j))^2, or its Huber loss, mean over the pairs i != j; float32.

    student, teacher: any layers, flattened to (B, D), of any shape each; no gradient reaches the teacher.
    Each sample is normalised before the product, where `similarity_preserving` normalises the rows after
    it. The Huber loss, e^2/2, turns linear at 1. Summed over the pairs of layers. A sample of zeros has the cosine
    0 with all others, and no gradient. A batch of one sample gives 0.
    """
    return summed(partial(_difference, huber=loss == "huber"), student, teacher)


def _difference(s: Tensor, t: Tensor, huber: bool) -> Tensor:
    student_BP, teacher_BP = off_diagonal(_cosines(s.flatten(1))), off_diagonal(_cosines(t.flatten(1)))
    function = F.smooth_l1_loss if huber else F.mse_loss
    return function(student_BP, teacher_BP, reduction="sum") / max(1, student_BP.numel())


def _cosines(x_BD: Tensor) -> Tensor:
    x_unit_BD = unit(x_BD, dim=1)
    return x_unit_BD @ x_unit_BD.T
