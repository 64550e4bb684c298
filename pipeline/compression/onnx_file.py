"""ONNX files: whole, on their own, and the same bytes for the same network."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from pipeline.base.errors import UserError
from pipeline.base.files import write_bytes
from pipeline.compression.card import Card, read_card

PRODUCER = "cohobate"
PROBABILITIES = "probabilities"
TEMPERATURE = "cohobate.temperature"  # no name that a network has
# The first onnxruntime that implements an opset, and reads the version of the file format (IR) that came with it:
# the matrix in its docs, reference/compatibility. Which IR an opset needs is in onnx's own table.
FIRST = {18: (1, 14), 19: (1, 15), 20: (1, 17), 21: (1, 18)}
FIRST_WITH_4_BITS = (1, 20)


def write_onnx(model: onnx.ModelProto, path: Path, card: Card) -> None:
    """Write `model` with its card inside.

    What a tool noted about how the graph came to be goes: it holds paths of this machine and moves no output.
    """
    _forget(model)
    model.producer_name, model.producer_version = PRODUCER, ""
    onnx.helper.set_model_props(model, card.properties())
    onnx.checker.check_model(model, full_check=True)
    write_bytes(path, model.SerializeToString(deterministic=True))


def least_runtime(path: Path) -> str:
    """The oldest onnxruntime that runs the file, such as `1.18`.

    Raises:
        UserError: It is of an opset, or of an IR, that none of these needs.
    """
    model, _ = read_onnx(path)
    opset = max(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    least = next((each for each in FIRST if each >= opset and _ir(each) >= model.ir_version), None)
    if least is None:
        raise UserError(f"{path} is of opset {opset} and IR {model.ir_version}, which no runtime is known for")
    small = any(item.data_type in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4) for item in model.graph.initializer)
    major, minor = max(FIRST[least], FIRST_WITH_4_BITS) if small else FIRST[least]
    return f"{major}.{minor}"


def precision(path: Path) -> str:
    """In which numbers the file at `path` holds weights, and computes: as of `quantise.form`, or float32."""
    graph = read_onnx(path)[0].graph
    kinds, steps = {item.data_type for item in graph.initializer}, {node.op_type for node in graph.node}
    if "QuantizeLinear" in steps:
        return "int8"
    if kinds & {onnx.TensorProto.INT4, onnx.TensorProto.UINT4}:
        return "int4_weights"
    if kinds & {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}:
        return "int8_weights"
    for name in ("float16", "bfloat16"):
        if getattr(onnx.TensorProto, name.upper()) in kinds:
            return name
    return "float32"


def _ir(opset: int) -> int:
    """The version of the file format that came with an opset."""
    return onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])


def read_onnx(path: Path) -> tuple[onnx.ModelProto, Card]:
    """Read a file that `write_onnx` wrote; a missing, damaged or foreign one is a `UserError`."""
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro` to make it") from None
    except (DecodeError, OSError) as error:
        raise UserError(f"{path} is no whole ONNX file ({error}): delete it and run `dvc repro`") from None
    return model, read_card({item.key: item.value for item in model.metadata_props}, str(path))


def add_probabilities(path: Path, card: Card) -> None:
    """Give the file at `path` the card, and a second output: `probabilities`, the softmax of logits / temperature.

    The first one is as it was.
    """
    assert card.temperature is not None
    model, _ = read_onnx(path)
    graph = model.graph
    (logits,) = graph.output
    graph.initializer.append(onnx.helper.make_tensor(TEMPERATURE, onnx.TensorProto.FLOAT, [], [card.temperature]))
    graph.node.append(onnx.helper.make_node("Div", [logits.name, TEMPERATURE], [f"{TEMPERATURE}.scaled"]))
    graph.node.append(onnx.helper.make_node("Softmax", [f"{TEMPERATURE}.scaled"], [PROBABILITIES], axis=1))
    probabilities = onnx.ValueInfoProto()
    probabilities.CopyFrom(logits)
    probabilities.name = PROBABILITIES
    graph.output.append(probabilities)
    write_onnx(model, path, card)


def _forget(model: onnx.ModelProto) -> None:
    graph = model.graph
    for noted in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        noted.ClearField("doc_string")
        noted.ClearField("metadata_props")
    # Types of inner tensors: a runtime infers them, and they are a third of a small file.
    graph.ClearField("value_info")
