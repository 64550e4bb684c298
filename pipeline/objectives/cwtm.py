"""CWTM, confidence weighted by teacher maximum: born-again without dark knowledge, its weights only."""

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.objectives.hard_labels import NONE


def cwtm(z_BC: Tensor, t_BC: Tensor, y_B: Tensor, w_B: Tensor | None = None, l_B: Tensor | None = None) -> Tensor:
    """sum_b w_b CE(y_b, z_b) with w_b = max softmax(t_b) / sum_u max softmax(t_u); float32, in nats.

    z_BC, t_BC: logits of this generation and of the one before, which no gradient reaches; y_B: int64
    class numbers. The weights sum to one over the batch, so this is a mean already (Furlanello et al.
    2018, section 3.2, "confidence weighted by teacher max"). w_B: what each image counts by its class, times
    the teacher's weight; None where all count 1. l_B: what each row counts by having a label (`hard_labels.counts`):
    the teacher's weights are those of the rows with one; None where all have one.
    """
    loss_B = F.cross_entropy(z_BC.float(), y_B, ignore_index=NONE, reduction="none")
    return (weights(t_BC, l_B) * (loss_B if w_B is None else w_B * loss_B)).sum()


def weights(t_BC: Tensor, l_B: Tensor | None = None) -> Tensor:
    """The teacher's confidence in each sample as its share of the batch's: (B,), float32, sums to one.

    With l_B, among the samples that have a label. In a part of a batch they sum to what the part has of the batch's
    labels, over what it has of its samples; to 0 where no sample has a label.
    """
    confidence_B = t_BC.detach().float().softmax(dim=1).amax(dim=1)
    if l_B is None:
        return confidence_B / confidence_B.sum()
    known_B = l_B * confidence_B
    return l_B.mean() * known_B / known_B.sum().clamp(min=torch.finfo(torch.float32).tiny)
