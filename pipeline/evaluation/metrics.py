"""How good a network is, and how near to its teacher: from logits and labels, in float64.

Legend: N samples, C classes. Every function takes logits (N, C) and y_N, int64, of at least one sample.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def scores(logits_NC: Tensor, y_N: Tensor) -> dict[str, float]:
    """Accuracy, NLL, ECE and Brier score."""
    return {
        "accuracy": accuracy(logits_NC, y_N),
        "nll": nll(logits_NC, y_N),
        "ece": ece(logits_NC, y_N),
        "brier": brier(logits_NC, y_N),
    }


def against(logits_NC: Tensor, teacher_NC: Tensor) -> dict[str, float]:
    """Agreement with the teacher, and KL to it."""
    return {"agreement": agreement(logits_NC, teacher_NC), "kl": kl(logits_NC, teacher_NC)}


def accuracy(logits_NC: Tensor, y_N: Tensor) -> float:
    """Share of samples whose largest logit is that of their class, 0 .. 1."""
    return (logits_NC.argmax(1) == y_N).double().mean().item()


def nll(logits_NC: Tensor, y_N: Tensor) -> float:
    """Negative log-likelihood of the true class, mean over samples, in nats."""
    return F.cross_entropy(logits_NC.double(), y_N).item()


def ece(logits_NC: Tensor, y_N: Tensor, bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017, eq. 3), 0 .. 1.

    Confidence is the largest probability. Samples fall into `bins` bins ((m - 1) / bins, m / bins] of equal
    width; the sum over bins of |accuracy - mean confidence|, each weighted by its share of the samples.
    """
    confidence_N, guess_N = logits_NC.double().softmax(1).max(1)
    surplus_N = confidence_N - (guess_N == y_N).double()
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=logits_NC.device)
    bin_N = torch.bucketize(confidence_N, edges[1:-1])
    return torch.bincount(bin_N, surplus_N, minlength=bins).abs().sum().item() / len(y_N)


def brier(logits_NC: Tensor, y_N: Tensor) -> float:
    """Brier score as Brier (1950) has it: squared error of the probabilities, summed over classes, 0 .. 2.

    Mean over samples.
    """
    probability_NC = logits_NC.double().softmax(1)
    target_NC = F.one_hot(y_N, logits_NC.shape[1])
    return (probability_NC - target_NC).square().sum(1).mean().item()


def agreement(logits_NC: Tensor, teacher_NC: Tensor) -> float:
    """Share of samples for which both have the same largest logit, 0 .. 1."""
    return accuracy(logits_NC, teacher_NC.argmax(1))


def kl(logits_NC: Tensor, teacher_NC: Tensor) -> float:
    """KL(teacher || student) at temperature 1: summed over classes, mean over samples, in nats."""
    student_NC, target_NC = (z_NC.double().log_softmax(1) for z_NC in (logits_NC, teacher_NC))
    return F.kl_div(student_NC, target_NC, reduction="batchmean", log_target=True).item()
