"""The basis of low-rank labels: the principal components of a teacher's logits of a sample of rows.

logits ≈ mean + coefficients · basis: the best such sum of so many products, in squared error (Eckart & Young 1936).
Coefficients are whole numbers of -127 .. 127, each in a step of its component: the largest of the sample is 127 steps,
and what goes beyond stays there. A row of the basis is as long as its step.

What is computed back has the same bits in batches of any size, on any processor and any number of threads: whole
numbers times multiples of one power of two, which float64 adds up without rounding.

Legend: N rows of the sample, B batch, C classes, R components.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

MOST = 127  # steps of a coefficient, either way
BITS = 23  # of an entry of the basis: times a coefficient, over any number of components, less than float64's 53
SAMPLE = 8192  # rows, at most: eight for each of 1,000 classes
SAMPLE_VIEW = 1  # the first that a student sees


@dataclass(frozen=True, eq=False)
class Basis:
    """mean_C: float32 (C,). steps_RC: the rows of the basis, float32 (R, C), at right angles to each other."""

    mean_C: Tensor
    steps_RC: Tensor

    def coefficients(self, logits_BC: Tensor) -> Tensor:
        """Of finite logits, int8 (B, R), on their device."""
        # Float64 where there is one: a GPU may compute products of float32 in ten bits.
        number = torch.float32 if logits_BC.device.type == "mps" else torch.float64
        mean_C, steps_RC = (each.to(logits_BC.device, number) for each in (self.mean_C, self.steps_RC))
        squares_R = steps_RC.square().sum(1)
        # A component that the sample does not have.
        squares_R = torch.where(squares_R == 0, 1, squares_R)
        steps_BR = (logits_BC.to(number) - mean_C) @ steps_RC.T / squares_R
        return steps_BR.round().clamp(-MOST, MOST).to(torch.int8)

    def logits(self, coefficients_BR: Tensor) -> Tensor:
        """Float32 (B, C), of coefficients on the host."""
        sum_BC = coefficients_BR.double() @ self.steps_RC.double()
        return (sum_BC + self.mean_C.double()).float()


def sample_rows(count: int) -> np.ndarray:
    """The rows, of `count`, that a basis is fitted to: evenly spaced, int64 (N,)."""
    chosen = min(count, SAMPLE)
    return np.arange(chosen) * count // chosen


def fit(logits_NC: Tensor, rank: int) -> Basis:
    """The `rank` components of most variance, and the mean; of float logits on the host.

    Eigenvectors of the covariance, in float64; the largest entry of each is positive.
    """
    mean_C = logits_NC.double().mean(0)
    z_NC = logits_NC - mean_C
    _, vectors_CC = torch.linalg.eigh(z_NC.T @ z_NC)  # by rising variance
    axes_RC = vectors_CC.flip(1)[:, :rank].T.contiguous()
    largest_R1 = axes_RC.gather(1, axes_RC.abs().argmax(1, keepdim=True))
    axes_RC *= largest_R1.sign()
    steps_RC = axes_RC * ((z_NC @ axes_RC.T).abs().amax(0) / MOST)[:, None]
    largest = float(steps_RC.abs().max())
    unit = 2.0 ** (math.floor(math.log2(largest)) + 1 - BITS) if largest > 0 else 1.0
    return Basis(mean_C.float(), ((steps_RC / unit).round() * unit).float())
