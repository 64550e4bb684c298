"""A node's logits on clean validation and test images: one safetensors file."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.lineage.node import Node


def write_predictions(folder: Path, logits: dict[str, Tensor]) -> str:
    """Write `predictions/logits.safetensors` into a node's folder, float32 (N, C) by split; return its hash.

    Raises `UserError` for a logit that is not finite.
    """
    if wrong := _not_finite(logits):
        split, row = wrong
        raise UserError(
            f"the network gives {split} image {row} a logit that is not finite: "
            "its weights are broken, train it with a lower recipe.lr or set recipe.clip"
        )
    path = folder / "predictions" / "logits.safetensors"
    files.write_bytes(path, save({split: z_NC.contiguous() for split, z_NC in logits.items()}))
    return files.sha256(path)


def read_predictions(of: Node) -> dict[str, Tensor]:
    """The stored logits of a node by split; a missing or changed file is a `UserError`."""
    path = of.predictions
    try:
        content = path.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        files.verify(path, of.hashes["predictions"], f"delete {of.folder} and run `dvc repro`", found=found)
        logits = load(content)
        if logits.keys() != {"validation", "test"}:
            raise ValueError(f"it holds {', '.join(sorted(logits))} and not test, validation")
        if any(z_NC.dtype != torch.float32 or z_NC.dim() != 2 for z_NC in logits.values()):
            raise ValueError("it holds other tensors than float32 (N, C)")
        if wrong := _not_finite(logits):
            raise ValueError(f"the logits of {wrong[0]} image {wrong[1]} are not finite")
        return logits
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise UserError(f"{path} cannot be used ({error}): delete {of.folder} and run `dvc repro`") from None


def _not_finite(logits: Mapping[str, Tensor]) -> tuple[str, int] | None:
    """The first split and row with a logit that is not finite."""
    for split, z_NC in logits.items():
        wrong_N = ~z_NC.isfinite().all(1)
        if wrong_N.any():
            return split, int(wrong_N.nonzero()[0])
    return None
