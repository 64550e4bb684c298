"""DIST: the correlation of predictions within a sample and within a class."""

from torch import Tensor

from pipeline.config.numbers import NonNegative, Positive
from pipeline.objectives.vectors import centred

TWO_CLASSES = (
    "inter, of beta, has no gradient, as rows of two numbers correlate by 1 or -1: what is left is intra, of gamma"
)

NEEDS = {"temperature": {"beta": ">0", "gamma": ">0"}}


def dist(
    z_BC: Tensor,
    t_BC: Tensor,
    *,
    beta: NonNegative = 1.0,
    gamma: NonNegative = 1.0,
    temperature: Positive = 1.0,
) -> Tensor:
    """T^2 (beta inter + gamma intra); float32, between 0 and 2 T^2 (beta + gamma).

    z_BC, t_BC: logits of student and teacher, which no gradient reaches. With the tables
    softmax(z/T) and softmax(t/T), inter is the mean over rows (samples) of 1 - Pearson correlation,
    intra the mean over columns (classes) (Huang et al. 2022, section 4; the defaults are those of the
    authors' code). 1 - Pearson is computed as half the squared distance of the centred unit vectors:
    the same number, never negative, exact near 0. A row or column without variance but for rounding
    (one sample, one class) has no correlation: it counts 0 if neither network's varies, 1/2 if one does.
    """
    student_BC = (z_BC.float() / temperature).softmax(dim=1)
    teacher_BC = (t_BC.detach().float() / temperature).softmax(dim=1)
    inter = _uncorrelated(student_BC, teacher_BC, dim=1)
    intra = _uncorrelated(student_BC, teacher_BC, dim=0)
    return temperature**2 * (beta * inter + gamma * intra)


def _uncorrelated(s_BC: Tensor, t_BC: Tensor, dim: int) -> Tensor:
    """1 - Pearson correlation along `dim`, mean over the other dimension."""
    return 0.5 * (centred(s_BC, dim) - centred(t_BC, dim)).square().sum(dim=dim).mean()
