"""From recipe to optimiser: which one, and the learning rate at each step."""

import importlib
import math

import torch
from torch import nn
from torch.optim import Optimizer

from pipeline.config.extension import OPTIMIZERS
from pipeline.config.recipe import Recipe


def optimizer(recipe: Recipe, module: nn.Module, device: torch.device) -> Optimizer:
    """The recipe's optimiser over the trainable parameters; fused where torch offers it.

    BatchNorm scales and biases decay like all weights, as in the recipes that the methods were published with.
    """
    name = recipe.optimizer
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    handed = OPTIMIZERS.handed(name, {"parameters": parameters, "lr": recipe.lr, "fused": is_fused(device)})
    # By name, so that a stage depends on the code of its own optimiser only.
    return getattr(importlib.import_module(f"pipeline.training.optimizers.{name}"), name)(*handed, **recipe.settings)


def is_fused(device: torch.device) -> bool:
    """Whether torch has fused SGD and AdamW for this device. Fused or not decides the last bits of a result."""
    return device.type in {"cpu", "cuda"}


def make_recordable(optimizer: Optimizer) -> bool:
    """Whether a GPU can record this optimiser's step, with the learning rate as a tensor: torch's fused ones.

    Those that refuse it unless told are told.
    """
    if not all(group.get("fused") for group in optimizer.param_groups):
        return False
    for group in optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = True
    return True


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
