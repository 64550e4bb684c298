"""How good a network is, and how near to its teacher: from logits and labels, in float64.

Legend: N samples, C classes. Every function takes logits (N, C) and y_N, int64, of at least one sample.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

TOP = 5


def scores(logits_NC: Tensor, y_N: Tensor) -> dict[str, float]:
    """Accuracy, NLL, ECE, Brier score, balanced accuracy, macro-F1; of more than 5 classes top-5 accuracy, too."""
    top = {"top_5": top_k(logits_NC, y_N, TOP)} if logits_NC.shape[1] > TOP else {}
    names = ("accuracy", "nll", "ece", "brier", "balanced_accuracy", "macro_f1")
    return measured(logits_NC, y_N, names) | top


def measured(logits_NC: Tensor, y_N: Tensor, names: Iterable[str]) -> dict[str, float]:
    """Of the scores that all networks have, those of these names."""
    known = {each.__name__: each for each in (accuracy, nll, ece, brier, balanced_accuracy, macro_f1)}
    return {name: known[name](logits_NC, y_N) for name in names}


def against(logits_NC: Tensor, teacher_NC: Tensor) -> dict[str, float]:
    """Agreement with the teacher, and KL to it."""
    return {"agreement": agreement(logits_NC, teacher_NC), "kl": kl(logits_NC, teacher_NC)}


def accuracy(logits_NC: Tensor, y_N: Tensor) -> float:
    """Share of samples whose largest logit is that of their class, 0 .. 1."""
    return (logits_NC.argmax(1) == y_N).double().mean().item()


def balanced_accuracy(logits_NC: Tensor, y_N: Tensor) -> float:
    """Mean over classes of the share of their samples that are right, 0 .. 1; classes without samples do not count."""
    right_C, _, count_C = _counts(logits_NC, y_N)
    return (right_C / count_C)[count_C > 0].mean().item()


def macro_f1(logits_NC: Tensor, y_N: Tensor) -> float:
    """Mean over classes of F1 = 2 right / (guessed + there are), 0 .. 1.

    Over the classes that have samples, whatever is guessed, so that all networks are measured by the same classes:
    scikit-learn's with `labels=unique(y)`.
    """
    right_C, guessed_C, count_C = _counts(logits_NC, y_N)
    return (2 * right_C / (guessed_C + count_C))[count_C > 0].mean().item()


def top_k(logits_NC: Tensor, y_N: Tensor, k: int) -> float:
    """Share of samples whose class has one of the `k` largest logits, 0 .. 1.

    Of equal logits that of the first class counts as larger: with k = 1 it is `accuracy`, ties included.
    """
    own_N1 = logits_NC.gather(1, y_N[:, None])
    before_NC = torch.arange(logits_NC.shape[1], device=y_N.device) < y_N[:, None]
    larger_NC = (logits_NC > own_N1) | ((logits_NC == own_N1) & before_NC)
    return (larger_NC.sum(1) < k).double().mean().item()


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


def _counts(logits_NC: Tensor, y_N: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each class: samples of it that are right, samples that are taken for it, and samples of it; float64 (C,)."""
    classes, guess_N = logits_NC.shape[1], logits_NC.argmax(1)
    found = (torch.bincount(each, minlength=classes) for each in (y_N[guess_N == y_N], guess_N, y_N))
    right_C, guessed_C, count_C = (each.double() for each in found)
    return right_C, guessed_C, count_C
