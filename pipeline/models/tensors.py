"""The tensors of a safetensors file, and the names of classes that it may have."""

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from pipeline.base.errors import UserError
from pipeline.config.class_names import names_of

CLASSES = "classes"  # in a file's metadata: a JSON list, in the order of the rows of its last layer


@dataclass(frozen=True)
class Tensors:
    """What a file holds.

    Attributes:
        tensors: By name.
        classes: Their names, in the order of the last layer's rows; None where it has none.
    """

    tensors: dict[str, Tensor]
    classes: tuple[str, ...] | None = None


def read_safetensors(path: Path) -> Tensors:
    """Read it whole. A missing or damaged file, and one of another format, are a `UserError`."""
    try:
        with safe_open(path, framework="pt") as file:
            named = (file.metadata() or {}).get(CLASSES)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return Tensors(tensors, names_of(json.loads(named)) if named else None)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: correct its path") from None
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is not a whole safetensors file ({error}): `python -m pipeline import` makes one of other formats"
        ) from None
