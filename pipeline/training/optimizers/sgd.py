"""Stochastic gradient descent, with Nesterov's momentum."""

from torch import nn
from torch.optim import Optimizer

from pipeline.config.numbers import BelowOne, NonNegative
from pipeline.training.eager import EagerSGD


def sgd(
    parameters: list[nn.Parameter],
    lr: float,
    fused: bool,
    *,
    momentum: BelowOne = 0.9,
    weight_decay: NonNegative = 0.0,
) -> Optimizer:
    """SGD, Nesterov's where there is momentum."""
    return EagerSGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=momentum > 0, fused=fused)
