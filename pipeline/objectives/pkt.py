"""Probabilistic knowledge transfer: which samples are neighbours, as a distribution."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from pipeline.objectives.layers import summed
from pipeline.objectives.vectors import off_diagonal, unit

LAYERS = "embedding"
WEIGHT = 60.0

SMALLEST = 1e-7
"""Added to each kernel value, so that opposite samples have a finite logarithm."""


def pkt(
    student: Sequence[Tensor], teacher: Sequence[Tensor], *, normalisation: Literal["paper", "code"] = "paper"
) -> Tensor:
    """KL(p_i || q_i) of the neighbours of sample i to the teacher (p) and to the student (q); float32, in nats.

    student, teacher: any layers, flattened to (B, D), of any shape each; no gradient reaches the teacher.
    q_ij = K(s_i, s_j) / sum_k K(s_i, s_k), K = (1 + cos)/2 (Passalis & Tefas 2018, section 3). "paper": j and k
    run over the other samples, sum over them, mean over the batch (the paper sums). "code": a sample is
    its own neighbour too, and the mean is over the B^2 entries, as in the authors' code. Deviation:
    1e-7 is added to K. Summed over the pairs of layers. A batch of one sample gives 0.
    """
    return summed(partial(_divergence, others=normalisation == "paper"), student, teacher)


def _divergence(s: Tensor, t: Tensor, others: bool) -> Tensor:
    student_BP, teacher_BP = _neighbours(s.flatten(1), others), _neighbours(t.flatten(1), others)
    kl = F.kl_div(student_BP.log(), teacher_BP.log(), reduction="sum", log_target=True)
    return kl / (len(s) if others else len(s) ** 2)


def _neighbours(x_BD: Tensor, others: bool) -> Tensor:
    """Probability of each neighbour: (B, B-1) without the sample itself, else (B, B)."""
    x_unit_BD = unit(x_BD, dim=1)
    kernel_BB = 0.5 * (1 + x_unit_BD @ x_unit_BD.T).clamp(min=0) + SMALLEST
    kernel_BP = off_diagonal(kernel_BB) if others else kernel_BB
    return kernel_BP / kernel_BP.sum(dim=1, keepdim=True)
