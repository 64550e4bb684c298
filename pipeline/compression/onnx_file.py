"""ONNX files: whole, on their own, and the same bytes for the same network."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from pipeline.base.errors import UserError
from pipeline.base.files import write_bytes
from pipeline.compression.card import Card, read_card

PRODUCER = "cohobate"


def write_onnx(model: onnx.ModelProto, path: Path, card: Card) -> None:
    """Write `model` with its card inside.

    What a tool noted about how the graph came to be goes: it holds paths of this machine and moves no output.
    """
    _forget(model)
    model.producer_name, model.producer_version = PRODUCER, ""
    onnx.helper.set_model_props(model, card.properties())
    onnx.checker.check_model(model, full_check=True)
    write_bytes(path, model.SerializeToString(deterministic=True))


def read_onnx(path: Path) -> tuple[onnx.ModelProto, Card]:
    """Read a file that `write_onnx` wrote; a missing, damaged or foreign one is a `UserError`."""
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro` to make it") from None
    except (DecodeError, OSError) as error:
        raise UserError(f"{path} is no whole ONNX file ({error}): delete it and run `dvc repro`") from None
    return model, read_card({item.key: item.value for item in model.metadata_props}, str(path))


def _forget(model: onnx.ModelProto) -> None:
    graph = model.graph
    for noted in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        noted.ClearField("doc_string")
        noted.ClearField("metadata_props")
    # Types of inner tensors: a runtime infers them, and they are a third of a small file.
    graph.ClearField("value_info")
