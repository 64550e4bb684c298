"""From recipe to optimiser: which one, and the learning rate at each step."""

import math
from inspect import unwrap
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from pipeline.config.recipe import Recipe


class _Eager(Optimizer):
    """Torch's optimiser without its hooks for torch.compile.

    They do nothing outside of it, but import its compiler: a second of computing for each stage.
    """

    add_param_group = unwrap(Optimizer.add_param_group)
    state_dict = unwrap(Optimizer.state_dict)
    load_state_dict = unwrap(Optimizer.load_state_dict)
    zero_grad = unwrap(Optimizer.zero_grad)


class EagerSGD(_Eager, SGD):
    """SGD without hooks for torch.compile."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step, as SGD's."""
        return unwrap(SGD.step)(self, closure)


class EagerAdamW(_Eager, AdamW):
    """AdamW without hooks for torch.compile."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step, as AdamW's."""
        return unwrap(AdamW.step)(self, closure)


def optimizer(recipe: Recipe, module: nn.Module, device: torch.device) -> Optimizer:
    """SGD (Nesterov, where there is momentum) or AdamW over the trainable parameters; fused where torch offers it.

    BatchNorm scales and biases decay like all weights, as in the recipes that the methods were published with.
    """
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    fused = is_fused(device)
    if recipe.optimizer == "adamw":
        return EagerAdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=fused)
    return EagerSGD(
        parameters,
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
        fused=fused,
    )


def is_fused(device: torch.device) -> bool:
    """Whether torch has fused SGD and AdamW for this device. Fused or not decides the last bits of a result."""
    return device.type in {"cpu", "cuda"}


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Learning rate of step `step` (from 0) of `steps`: linear warm-up, then the schedule.

    `cosine` falls to 0 just after the last step; `step` multiplies by `gamma` at each milestone.
    """
    warm = round(recipe.warmup * steps)
    if step < warm:
        return recipe.lr * (step + 1) / warm
    if recipe.schedule == "cosine":
        return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
    if recipe.schedule == "step":
        return recipe.lr * recipe.gamma ** sum(step >= milestone * steps for milestone in recipe.milestones)
    return recipe.lr
