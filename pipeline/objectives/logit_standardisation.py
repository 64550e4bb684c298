"""Logit standardisation: soft targets on logits whose scale is taken out."""

from torch import Tensor
from torch.nn import functional as F

from pipeline.config.numbers import Positive
from pipeline.objectives.vectors import centred

WEIGHT = 2.0
RAW_LOGITS = True


def logit_standardisation(z_BC: Tensor, t_BC: Tensor, *, temperature: Positive = 2.0) -> Tensor:
    """T^2 KL(softmax(Z(t)/T) || softmax(Z(z)/T)): sum over classes, mean over the batch; float32, in nats.

    z_BC, t_BC: logits of student and teacher, which no gradient reaches. Z takes the mean from each row and
    divides by its standard deviation (Sun et al. 2024, algorithm 1), that of all C logits, without the
    C-1 of the authors' code. A row without deviation (but for rounding) becomes 0, the uniform distribution.
    The paper weighs this term by 9 and `cross_entropy` by 0.1. With two classes a standardised row is (1, -1) or
    (-1, 1): there is no gradient, and the stage refuses it.
    """
    student_BC = F.log_softmax(_standardised(z_BC.float()) / temperature, dim=1)
    teacher_BC = F.log_softmax(_standardised(t_BC.detach().float()) / temperature, dim=1)
    return temperature**2 * F.kl_div(student_BC, teacher_BC, reduction="batchmean", log_target=True)


def _standardised(logits_BC: Tensor) -> Tensor:
    """Each row with mean 0 and variance 1: sqrt(C) times the unit vector of the centred row."""
    return logits_BC.shape[1] ** 0.5 * centred(logits_BC, dim=1)
