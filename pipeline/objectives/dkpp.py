"""DKPP, dark knowledge with permuted predictions: born-again whose dark knowledge is shuffled."""

import torch
from torch import Tensor
from torch.nn import functional as F

TWO_CLASSES = "one value is left to permute, which stays: what is left is born_again"


def dkpp(z_BC: Tensor, t_BC: Tensor) -> Tensor:
    """-sum_c q_c log softmax(z)_c with q = softmax of the `permuted` t, mean over the batch; float32, in nats.

    z_BC, t_BC: logits of this generation and of the one before, which no gradient reaches (Furlanello et al.
    2018, section 3.2, "dark knowledge with permuted predictions"). Its least value is the teacher's entropy.
    Every call draws from torch's global generator of the device on which the logits are.
    """
    return F.cross_entropy(z_BC.float(), permuted(t_BC.detach().float()).softmax(dim=1))


def permuted(t_BC: Tensor) -> Tensor:
    """Rows with the greatest value kept in its place and all others shuffled, each row by itself: (B, C)."""
    top_B1 = t_BC.argmax(dim=1, keepdim=True)
    places_BC = torch.arange(t_BC.shape[1], device=t_BC.device).expand_as(t_BC)
    home_BC = places_BC.scatter(1, top_B1, -1).argsort(dim=1)
    drawn_BC = torch.rand(t_BC.shape, device=t_BC.device).scatter(1, top_B1, -1.0).argsort(dim=1)
    return t_BC.scatter(1, home_BC, t_BC.gather(1, drawn_BC))
