"""Branches that add up to one layer, merged: RepVGG, MobileOne, FastViT and their like train several and ship one.

Ding et al. 2021; for timm's networks, and for any whose blocks say how, by a method that timm knows.
"""

import torch
from torch import nn

MERGES = ("reparameterize", "switch_to_deploy", "fuse")  # methods of a block that has branches, as timm calls them
CLOSE = 1e-3  # of the largest logit: what sums in another order may move


def branching(model: nn.Module) -> int:
    """How many blocks have branches that can be merged."""
    return sum(any(callable(getattr(each, name, None)) for name in MERGES) for each in model.modules())


def merged(model: nn.Module, *, channels: int, size: int) -> tuple[nn.Module, int]:
    """A network that answers images (B, channels, size, size) as `model` does, and how many of its blocks are merged.

    It is `model` itself, and 0, where it has none, and where they cannot be merged, or its answers would be others:
    after its filters were pruned a block may no longer be what its own method takes it for.
    """
    blocks = branching(model)
    if not blocks:
        return model, 0
    from timm.utils.model import reparameterize_model

    x_BCHW = torch.randn((2, channels, size, size), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before_BC = model(x_BCHW)
        try:
            one = reparameterize_model(model)
            moved = (one(x_BCHW) - before_BC).abs().max()
        except Exception:  # of whatever class: the blocks are others' code
            return model, 0
    return (one, blocks) if moved <= CLOSE * before_BC.abs().max() else (model, 0)
