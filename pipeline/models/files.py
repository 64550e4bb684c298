"""Weights on disk: one safetensors file, equal weights giving equal bytes."""

import importlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.base.files import write_bytes

# Batch norm's count of batches: it moves no output, and files written by other tools often lack it.
COUNTER = "num_batches_tracked"
# In a file's metadata where weights share a few values, and by whom such a file is read.
SHARED = "codebook"
READER = "pipeline.models.codebook"


def save_weights(model: nn.Module, path: Path) -> None:
    """Write every parameter and buffer of `model`, in its own type, in the order of their names."""
    state = model.state_dict()
    tensors = {key: state[key].detach().cpu().contiguous() for key in sorted(state)}
    # Bytes, not safetensors' own file: that one has mode 0600, which a shared cache cannot use.
    write_bytes(path, save(tensors))


def load_weights(model: nn.Module, path: Path, what: str) -> None:
    """Fill `model` in place from `path`; `what` names it in messages ("the teacher's weights").

    A file of shared weights (a codebook) is read as the values that they share.

    Keys and shapes must be those of the model, except for batch norm's counters, which may be absent.
    A missing or damaged file, and a file of another network, are a `UserError`.
    """
    expected = model.state_dict()
    try:
        with safe_open(path, framework="pt") as file:
            stored: dict[str, Tensor] = {}
            if SHARED in (file.metadata() or {}):
                # By name, so that only stages that compress depend on this code.
                stored = {key: torch.from_numpy(value) for key, value in _shared(path).items()}
                shapes = {key: tuple(tensor.shape) for key, tensor in stored.items()}
            else:
                shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
            _compare(shapes, expected, _head(model), f"{what} ({path})")
            stored = stored or {key: file.get_tensor(key) for key in shapes}
        _check_numbers(stored, expected, f"{what} ({path})")
    except FileNotFoundError:
        raise UserError(f"{what} ({path}) is missing: run `dvc repro`, or correct its path") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{what} ({path}) is not a whole safetensors file: {error}") from None
    model.load_state_dict(stored, strict=False)


def _compare(shapes: dict[str, tuple[int, ...]], expected: dict[str, Tensor], head: str | None, where: str) -> None:
    """Raise for the first difference between a file's tensors and a model's."""
    for key, tensor in expected.items():
        shape = tuple(tensor.shape)
        if key not in shapes:
            if key.endswith(COUNTER):
                continue
            raise UserError(f"{where} lacks {key!r} of shape {shape}: it is of another architecture")
        if shapes[key] == shape:
            continue
        if key == head and shapes[key][1:] == shape[1:]:
            raise UserError(f"{where} was trained for {shapes[key][0]} classes, the data has {shape[0]}: see {key!r}")
        raise UserError(
            f"{where} holds {key!r} of shape {shapes[key]}, where this architecture and data expect {shape}"
        )
    extra = sorted(shapes.keys() - expected.keys())
    if extra:
        raise UserError(f"{where} holds {extra[0]!r}, which this architecture does not have")


def _check_numbers(stored: dict[str, Tensor], expected: dict[str, Tensor], where: str) -> None:
    """Raise for weights that are no real numbers, or not finite."""
    for key, tensor in stored.items():
        if tensor.is_floating_point() != expected[key].is_floating_point():
            raise UserError(f"{where} holds {key!r} as {tensor.dtype}, where {expected[key].dtype} is expected")
        if not tensor.isfinite().all():
            raise UserError(f"{where} holds numbers in {key!r} that are not finite: these weights are broken")


def _head(model: nn.Module) -> str | None:
    """Key of the weight that has one row a class: that of the last linear layer."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return f"{linear[-1]}.weight" if linear else None


def _shared(path: Path) -> dict[str, Any]:
    return importlib.import_module(READER).load_shared(path)
