"""CWTM, confidence weighted by teacher maximum: born-again without dark knowledge, its weights only."""

from torch import Tensor
from torch.nn import functional as F


def cwtm(z_BC: Tensor, t_BC: Tensor, y_B: Tensor, w_B: Tensor | None = None) -> Tensor:
    """sum_b w_b CE(y_b, z_b) with w_b = max softmax(t_b) / sum_u max softmax(t_u); float32, in nats.

    z_BC, t_BC: logits of this generation and of the one before, which no gradient reaches; y_B: int64
    class numbers. The weights sum to one over the batch, so this is a mean already (Furlanello et al.
    2018, section 3.2, "confidence weighted by teacher max"). w_B: what each image counts by its class, times
    the teacher's weight; None where all count 1.
    """
    loss_B = F.cross_entropy(z_BC.float(), y_B, reduction="none")
    return (weights(t_BC) * (loss_B if w_B is None else w_B * loss_B)).sum()


def weights(t_BC: Tensor) -> Tensor:
    """The teacher's confidence in each sample as its share of the batch's: (B,), float32, sums to one."""
    confidence_B = t_BC.detach().float().softmax(dim=1).amax(dim=1)
    return confidence_B / confidence_B.sum()
