"""Slow, obvious twins of every loss: the paper's formula, one number at a time.

Each takes and gives float64; autograd goes through the loops, so gradients can be compared too.
A twin has the name, the positional parameters and the settings of the loss that it doubles.
"""

from typing import Literal

import torch
from torch import Tensor


def softmax(row_C: Tensor, temperature: float = 1.0) -> list[Tensor]:
    """q_c = exp(z_c/T) / sum_k exp(z_k/T) (Hinton et al. 2015, eq. 1)."""
    top = row_C.max().detach()
    powers = [torch.exp((value - top) / temperature) for value in row_C]
    whole = sum(powers, torch.zeros((), dtype=row_C.dtype))
    return [power / whole for power in powers]


def cross_entropy(z_BC: Tensor, y_B: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """-1/B sum_b sum_c q_bc log p_bc with q = (1-e) onehot(y) + e/C (Szegedy et al. 2016, section 7)."""
    rows, classes = z_BC.shape
    total = torch.zeros((), dtype=z_BC.dtype)
    for b in range(rows):
        p_C = softmax(z_BC[b])
        for c in range(classes):
            q = label_smoothing / classes + (1 - label_smoothing if c == int(y_B[b]) else 0)
            total = total - q * torch.log(p_C[c])
    return total / rows


def soft_targets(z_BC: Tensor, t_BC: Tensor, temperature: float = 4.0) -> Tensor:
    """T^2/B sum_b sum_c p_bc log(p_bc / q_bc), p of the teacher and q of the student at temperature T."""
    rows, classes = z_BC.shape
    total = torch.zeros((), dtype=z_BC.dtype)
    for b in range(rows):
        p_C, q_C = softmax(t_BC[b], temperature), softmax(z_BC[b], temperature)
        for c in range(classes):
            total = total + p_C[c] * torch.log(p_C[c] / q_C[c])
    return temperature**2 * total / rows


def label_refinery(z_BC: Tensor, t_BC: Tensor) -> Tensor:
    """1/B sum_b sum_c p_bc log(p_bc / q_bc) (Bagherinezhad et al. 2018, eq. 1)."""
    rows, classes = z_BC.shape
    total = torch.zeros((), dtype=z_BC.dtype)
    for b in range(rows):
        p_C, q_C = softmax(t_BC[b]), softmax(z_BC[b])
        for c in range(classes):
            total = total + p_C[c] * torch.log(p_C[c] / q_C[c])
    return total / rows


def born_again(z_BC: Tensor, t_BC: Tensor) -> Tensor:
    """-1/B sum_b sum_c p_bc log q_bc (Furlanello et al. 2018, eq. 3)."""
    rows, classes = z_BC.shape
    total = torch.zeros((), dtype=z_BC.dtype)
    for b in range(rows):
        p_C, q_C = softmax(t_BC[b]), softmax(z_BC[b])
        for c in range(classes):
            total = total - p_C[c] * torch.log(q_C[c])
    return total / rows


def logit_matching(z_BC: Tensor, t_BC: Tensor, reduction: Literal["sum", "mean"] = "sum") -> Tensor:
    """1/B sum_b 1/2 sum_c (z_bc - t_bc)^2 (Ba & Caruana 2014, eq. 2); "mean" divides by C too."""
    rows, classes = z_BC.shape
    total = torch.zeros((), dtype=z_BC.dtype)
    for b in range(rows):
        for c in range(classes):
            total = total + 0.5 * (z_BC[b, c] - t_BC[b, c]) ** 2
    return total / rows / (classes if reduction == "mean" else 1)
