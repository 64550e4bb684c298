"""A node's logits on clean validation and test images: one safetensors file."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from pipeline import files
from pipeline.errors import UserError
from pipeline.node import Node


def write_predictions(folder: Path, logits: dict[str, Tensor]) -> str:
    """Write `predictions/logits.safetensors` into a node's folder, float32 (N, C) by split; return its hash."""
    path = folder / "predictions" / "logits.safetensors"
    files.write_bytes(path, save({split: z_NC.contiguous() for split, z_NC in logits.items()}))
    return files.sha256(path)


def read_predictions(of: Node) -> dict[str, Tensor]:
    """The stored logits of a node by split; a missing or changed file is a `UserError`."""
    path = of.predictions
    try:
        content = path.read_bytes()
        if files.sha256(path) != of.hashes["predictions"]:
            raise ValueError("its content is not what was written")
        return load(content)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise UserError(f"{path} cannot be used ({error}): delete {of.folder} and run `dvc repro`") from None
