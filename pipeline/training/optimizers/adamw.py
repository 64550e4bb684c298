"""Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

from torch import nn
from torch.optim import Optimizer

from pipeline.config.numbers import NonNegative
from pipeline.training.eager import EagerAdamW


def adamw(parameters: list[nn.Parameter], lr: float, fused: bool, *, weight_decay: NonNegative = 0.0) -> Optimizer:
    """AdamW."""
    return EagerAdamW(parameters, lr=lr, weight_decay=weight_decay, fused=fused)
