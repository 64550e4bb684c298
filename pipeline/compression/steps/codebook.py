"""Weights share a few values: the file holds indices, and the network computes with the values."""

from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from pipeline.compression.work import ChangedNetwork, Work, changed
from pipeline.models.codebook import codebook, save_shared

MAKES = "changed"


def run(work: Work, *, bits: Annotated[int, Field(strict=True, ge=1, le=8)] = 4) -> ChangedNetwork:
    """Let the weights of the node before share 2^bits values a layer; report how far that moves them."""
    model = work.model()

    def save(model: nn.Module, path: Path) -> None:
        save_shared({name: tensor.cpu().numpy() for name, tensor in model.state_dict().items()}, path, bits)

    errors = {}
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim < 2 or weight.numel() <= 2**bits:
                continue
            centroids_K, indices = codebook(weight.cpu().numpy(), bits)
            shared = torch.from_numpy(centroids_K[indices]).to(weight.device)
            errors[name] = float((shared - weight).norm() / weight.norm().clamp_min(1e-12))
            weight.copy_(shared)
    return changed(work, model, {"errors": errors}, save=save)
