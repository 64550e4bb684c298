"""Checkpoints in the formats of others: safetensors, torch's own, and folders as model hubs have them.

Only tensors are taken out of a pickle: torch reads it with `weights_only`, and no code in it is run.
"""

import argparse
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.config.class_names import names_of
from pipeline.models.tensors import Tensors, read_safetensors

# What weights lie under in a checkpoint, and moving averages of them.
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "params", "weights")
AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema")
NAMES = ("classes", "class_names", "class_to_idx", "label_names", "id2label")
WHOLE = ("model.safetensors", "pytorch_model.bin")
INDEXES = tuple(f"{name}.index.json" for name in WHOLE)
UNNAMED = re.compile(r"LABEL_\d+")  # what one hub calls classes whose names are not given


@dataclass(frozen=True)
class Held(Tensors):
    """The tensors of a checkpoint, the names of its classes, and a sentence for each thing worth knowing."""

    notes: tuple[str, ...] = ()


def read(path: Path, ema: bool = False) -> Held:
    """Read a file or a folder.

    ema: whether to take the moving average of the weights.

    Raises:
        UserError: It is missing, damaged or of another kind; or it has no moving average.
    """
    if path.is_dir():
        return _folder(path, ema)
    if not path.is_file():
        raise UserError(f"there is no file or folder {path}: correct its path")
    if path.suffix == ".onnx":
        raise UserError(f"{path} is an ONNX model, of which no torch network can be filled: give the file of weights")
    if path.suffix == ".safetensors" or _begins_as_safetensors(path):
        found = read_safetensors(path)
        return _unwrapped(found.tensors, path, ema, found.classes)
    return _unwrapped(_load(path), path, ema)


def _begins_as_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return file.read(1) == b"{" and length <= path.stat().st_size


def _load(path: Path) -> Any:
    """What torch saved, as far as it is tensors and plain values."""
    _check_archive(path)
    try:
        # Arguments of a command line are plain values; many checkpoints have them.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of torch, zip and pickle: whatever the bytes of a stranger bring about
        reason = " ".join(str(error).split())
        if found := re.search(r"(?:GLOBAL|[Uu]nsupported class) ([\w.]+)", reason):
            raise UserError(
                f"{path} holds a whole Python object ({found[1]}), which only running its code could make, "
                "and that is not done: save model.state_dict() in place of the model"
            ) from None
        raise UserError(
            f"{path} is no whole checkpoint of tensors: it is cut short, damaged, or of another kind "
            f"({reason[:100].split('. ')[0]})"
        ) from None


def _check_archive(path: Path) -> None:
    """Refuse an archive that torch did not write: one that is packed may unpack to any size."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            inside = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise UserError(f"{path} is a damaged archive ({error})") from None
    claimed, size = sum(each.file_size for each in inside), path.stat().st_size
    if claimed > size or any(each.compress_type != zipfile.ZIP_STORED for each in inside):
        raise UserError(
            f"{path} is a packed archive, of {claimed} bytes in {size}, which torch does not write: "
            "unpack it and give the checkpoint in it"
        )
    if any("/code/" in each.filename for each in inside):
        raise UserError(f"{path} is a TorchScript program, which is not run: save its state_dict() alone")


def _unwrapped(value: Any, path: Path, ema: bool, names: tuple[str, ...] | None = None) -> Held:
    """The mapping of names to tensors within what a checkpoint holds."""
    notes = []
    if isinstance(value, Mapping):
        names = names or next(filter(None, (names_of(value.get(key)) for key in NAMES)), None)
        averages = [key for key in AVERAGES if isinstance(value.get(key), Mapping)]
        if ema:
            if not averages:
                raise UserError(
                    f"{path} has no moving average of its weights (none of {', '.join(AVERAGES)}): leave --ema out"
                )
            value = value[averages[0]]
            notes.append(f"the moving average in {averages[0]} is taken")
        elif averages and not _is_state(value):
            notes.append(f"it has a moving average of its weights, too, in {averages[0]}: --ema takes that")
    within = []
    while isinstance(value, Mapping) and not _is_state(value):
        key = next((key for key in WRAPPERS if isinstance(value.get(key), Mapping)), None)
        if key is None:
            held = ", ".join(map(str, list(value)[:5])) or "nothing"
            raise UserError(f"{path} holds no weights by name, but {held}: give a file of model.state_dict()")
        value = value[key]
        within.append(key)
    if not isinstance(value, Mapping):
        raise UserError(f"{path} holds a {type(value).__name__}, no weights by name: save model.state_dict()")
    if within:
        notes.append(f"its weights lie in {'.'.join(within)}")
    tensors = {str(key): each for key, each in value.items() if isinstance(each, Tensor) and not each.is_sparse}
    if len(tensors) < len(value):
        notes.append(f"{len(value) - len(tensors)} values among them are no plain tensors and are not taken")
    return Held(tensors, names, tuple(notes))


def _is_state(value: Mapping[Any, Any]) -> bool:
    """Whether most of what it maps to are tensors."""
    return 2 * sum(isinstance(each, Tensor) for each in value.values()) > len(value)


def _folder(folder: Path, ema: bool) -> Held:
    """A checkpoint as a model hub has it: one file, or shards with an index; names of classes stand in its config."""
    if whole := [folder / name for name in WHOLE if (folder / name).is_file()]:
        found = read(whole[0], ema)
    elif indexes := [folder / name for name in INDEXES if (folder / name).is_file()]:
        found = _shards(indexes[0], ema)
    else:
        raise UserError(f"{folder} has none of {', '.join(WHOLE + INDEXES)}: give the file of weights itself")
    config = folder / "config.json"
    if found.classes is None and config.is_file() and isinstance(value := files.read_json(config), dict):
        named = next(filter(None, (names_of(value.get(key)) for key in NAMES)), None)
        if named and not all(map(UNNAMED.fullmatch, named)):
            found = replace(found, classes=named, notes=(*found.notes, "its classes are named in config.json"))
    return found


def _shards(index: Path, ema: bool) -> Held:
    value = files.read_json(index)
    where = value.get("weight_map") if isinstance(value, dict) else None
    if not isinstance(where, dict) or not where or not all(isinstance(each, str) for each in where.values()):
        raise UserError(f"{index} has no weight_map of tensors to files: it is damaged, or no index")
    shards: dict[str, Held] = {}
    for name in sorted({*where.values()}):
        if Path(name).name != name or name in ("", ".", ".."):
            raise UserError(f"{index} names the file {name!r}, which does not lie beside it")
        if not (index.parent / name).is_file():
            raise UserError(f"{index.parent} lacks {name}, one of the {len({*where.values()})} files of {index.name}")
        shards[name] = read(index.parent / name, ema)
    if lacking := [key for key, name in where.items() if key not in shards[name].tensors]:
        raise UserError(f"{index} says that {where[lacking[0]]} holds {lacking[0]!r}, which it does not")
    tensors = {key: shards[name].tensors[key] for key, name in where.items()}
    return Held(tensors, None, (f"it lies in {len(shards)} files",))
