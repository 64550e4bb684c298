"""Logit matching: regression on the teacher's logits."""

from typing import Literal

from torch import Tensor

WEIGHT = 0.2
RAW_LOGITS = True


def logit_matching(z_BC: Tensor, t_BC: Tensor, *, reduction: Literal["sum", "mean"] = "sum") -> Tensor:
    """1/2 ||z - t||^2 on raw logits, mean over the batch; float32 (Ba & Caruana 2014, eq. 2).

    z_BC, t_BC: logits of student and teacher; no gradient reaches the teacher. `reduction` is over
    classes: "sum" is the paper's, "mean" the variant whose scale does not grow with their number.
    """
    halves_BC = 0.5 * (z_BC.float() - t_BC.detach().float()).square()
    halves_B = halves_BC.sum(dim=1) if reduction == "sum" else halves_BC.mean(dim=1)
    return halves_B.mean()
