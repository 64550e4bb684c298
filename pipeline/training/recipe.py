"""From recipe to optimiser: which one, and the learning rate at each step."""

import importlib
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from pipeline.config.extension import OPTIMIZERS
from pipeline.config.recipe import Recipe
from pipeline.training.imported import imported


def optimizer(
    recipe: Recipe, module: nn.Module, device: torch.device, levels: Sequence[Sequence[nn.Parameter]] = ()
) -> Optimizer:
    """The recipe's optimiser over the trainable parameters; fused where torch offers it.

    BatchNorm scales and biases decay like all weights, as in the recipes that the methods were published with, unless
    the recipe says otherwise. levels: of the network, as of `frozen.levels`, for rates that differ by depth.
    """
    name = recipe.optimizer
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    parameters = _groups(recipe, trainable, levels)
    if "." in name:
        return imported(name, parameters, recipe.lr, recipe.settings)
    handed = OPTIMIZERS.handed(name, {"parameters": parameters, "lr": recipe.lr, "fused": is_fused(device)})
    # By name, so that a stage depends on the code of its own optimiser only.
    return getattr(importlib.import_module(f"pipeline.training.optimizers.{name}"), name)(*handed, **recipe.settings)


def by_depth(recipe: Recipe) -> bool:
    """Whether parameters have different rates, which follow from their levels."""
    return recipe.head_lr is not None or recipe.layer_decay is not None


def _groups(
    recipe: Recipe, parameters: list[nn.Parameter], levels: Sequence[Sequence[nn.Parameter]]
) -> list[nn.Parameter] | list[dict[str, Any]]:
    """The parameters, in groups where not all are stepped alike; `scale` is a group's rate as a share of the recipe's.

    The head's is `head_lr`, or 1; that of each level below is `layer_decay` times the one above it, from 1. What is no
    part of the network, such as an adapter, has 1. Biases and norms are those of one dimension or none.
    """
    if recipe.decay_norms and not by_depth(recipe):
        return parameters
    scales: dict[int, float] = {}
    for above, level in enumerate(reversed(levels)):
        scale = (recipe.layer_decay or 1.0) ** above
        if above == 0 and recipe.head_lr is not None:
            scale = recipe.head_lr / recipe.lr
        scales |= {id(each): scale for each in level}
    found: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for each in parameters:
        decays = recipe.decay_norms or each.ndim > 1
        found.setdefault((scales.get(id(each), 1.0), decays), []).append(each)
    return [
        {"params": each, "scale": scale, **({} if decays else {"weight_decay": 0.0})}
        for (scale, decays), each in found.items()
    ]


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
