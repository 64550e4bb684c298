"""Decoupled knowledge distillation: the target class and the other classes, weighted apart."""

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.config.numbers import NonNegative, Positive

WEIGHT = 0.3
TWO_CLASSES = "NCKD, of beta, is 0, as there is one other class: what is left is TCKD, of alpha, the whole KL"
NEEDS = {"temperature": {"alpha": ">0", "beta": ">0"}}


def dkd(
    z_BC: Tensor,
    t_BC: Tensor,
    y_B: Tensor,
    l_B: Tensor | None = None,
    *,
    alpha: NonNegative = 1.0,
    beta: NonNegative = 8.0,
    temperature: Positive = 4.0,
) -> Tensor:
    """T^2 (alpha TCKD + beta NCKD): sums over classes, mean over the rows with a label; float32, in nats.

    z_BC, t_BC: logits of student and teacher, which no gradient reaches; y_B: int64 class numbers.
    TCKD is the KL between the two (target, not target) distributions, NCKD the KL between the
    distributions over the other classes given that it is not the target; both at temperature T
    (Zhao et al. 2022, eq. 7, where KL = TCKD + (1 - p_target) NCKD). It is 0 for a single class.
    The paper warms this term up over 20 epochs; that is the schedule's part, not the loss's.
    l_B: what each row counts by having a label (`hard_labels.counts`), None where all have one.
    """
    if z_BC.shape[1] == 1:
        return 0.0 * z_BC.float().sum()
    if l_B is not None:
        y_B = y_B.clamp(min=0)  # any class will do: where there is no label, the row counts 0
    target_B2, others_BC = _decoupled(z_BC.float() / temperature, y_B)
    target_t_B2, others_t_BC = _decoupled(t_BC.detach().float() / temperature, y_B)
    tckd, nckd = _kl(target_B2, target_t_B2, l_B), _kl(others_BC, others_t_BC, l_B)
    return temperature**2 * (alpha * tckd + beta * nckd)


def _kl(log_q_BX: Tensor, log_p_BX: Tensor, l_B: Tensor | None) -> Tensor:
    """KL(p || q), mean over the rows with a label."""
    if l_B is None:
        return F.kl_div(log_q_BX, log_p_BX, reduction="batchmean", log_target=True)
    return (l_B * F.kl_div(log_q_BX, log_p_BX, reduction="none", log_target=True).sum(dim=1)).mean()


def _decoupled(logits_BC: Tensor, y_B: Tensor) -> tuple[Tensor, Tensor]:
    """Log probabilities of (target, not target), (B, 2), and of the others given not target, (B, C-1).

    The target's column is taken out. (The authors' code lowers it by 1000 instead, which is the same
    in float32 as long as logits/T differ by less than some 900.)
    """
    target_B1 = y_B[:, None]
    column_C = torch.arange(logits_BC.shape[1] - 1, device=y_B.device)
    log_p_BC = logits_BC.log_softmax(dim=1)
    # By their columns: how many entries a bool mask has, a GPU would have to be asked.
    others_BC = log_p_BC.gather(1, column_C + (column_C >= target_B1))
    target_B2 = torch.cat([log_p_BC.gather(1, target_B1), others_BC.logsumexp(dim=1, keepdim=True)], dim=1)
    return target_B2, others_BC.log_softmax(dim=1)
