"""Branches that add up to one layer, merged: RepVGG, MobileOne, FastViT and their like train several and ship one.

Ding et al. 2021; for timm's networks, and for any whose blocks say how, by a method with one of timm's names.
"""

import copy

import torch
from torch import nn

FUSE = "fuse"
MERGES = (FUSE, "reparameterize", "switch_to_deploy")
CLOSE = 1e-3  # of the largest logit: what sums in another order may move


def merged(model: nn.Module, *, channels: int, size: int) -> tuple[nn.Module, int]:
    """A network that answers images (B, channels, size, size) as `model` does, and how many parts of it are merged.

    It is `model` itself, and 0, where there is nothing to merge, and where that cannot be, or its answers would be
    others: after its filters were pruned a block may no longer be what its own method takes it for.
    """
    if not any(_how(each) for each in model.modules()):
        return model, 0
    x_BCHW = torch.randn((2, channels, size, size), generator=torch.Generator().manual_seed(0))
    one = copy.deepcopy(model)
    with torch.no_grad():
        before_BC = model(x_BCHW)
        try:
            count = _merge(one)
            moved = (one(x_BCHW) - before_BC).abs().max()
        except Exception:  # of whatever class: the blocks are others' code
            return model, 0
    return (one, count) if count and moved <= CLOSE * before_BC.abs().max() else (model, 0)


def _merge(model: nn.Module) -> int:
    """Merge the parts of a network, in place; how many have fewer parameters now. As timm's `reparameterize_model`."""
    count = 0
    for name, part in [*model.named_children()]:
        before = _parameters(part)
        if how := _how(part):
            new = getattr(part, how)()
            if how == FUSE:
                model.add_module(name, new)
            count += _parameters(getattr(model, name)) < before
        count += _merge(getattr(model, name))
    return count


def _how(part: nn.Module) -> str | None:
    """The method by which a part merges its branches; `fuse` gives what takes its place."""
    return next(
        (name for name in (FUSE, "reparameterize", "switch_to_deploy") if callable(getattr(part, name, None))), None
    )


def _parameters(part: nn.Module) -> int:
    return sum(each.numel() for each in part.parameters())
