"""What an ONNX file says that it needs of memory, told before a runtime takes any: it may come from a stranger."""

from __future__ import annotations

import math
from pathlib import Path

import onnx
from onnx import GraphProto, ModelProto, TypeProto

from pipeline.base import memory
from pipeline.base.errors import UserError

# Numbers of a tensor up to which it may be a shape, which shape inference reads; weights would only slow it down.
SHAPE = 1024


def check_fits(path: Path, batch: int) -> None:
    """Refuse a model that needs more memory than is free, for `batch` images at a time.

    A file that is no ONNX, or says nothing, passes: what runs it has its own words.

    Raises:
        UserError: Its weights, and the largest sum of activations that are there together, are more than is free.
    """
    try:
        model = onnx.load_model_from_string(path.read_bytes())
        need = declared_bytes(model, batch)
    except Exception:  # of half a dozen types, for a file that is missing, cut or of nonsense
        return
    if need > (free := memory.free()):
        raise UserError(
            f"{path} declares {need / 2**30:,.1f} GiB of weights and activations for {batch} images, and "
            f"{free / 2**30:,.1f} GiB of memory are free: it is not loaded; use a smaller model, or free some memory"
        )


def bytes_an_image(content: bytes) -> int:
    """What a model declares of the activations of one image, as of `activation_bytes`; 0 where it says nothing."""
    try:
        return activation_bytes(onnx.load_model_from_string(content), 1)
    except Exception:  # as in `check_fits`
        return 0


def declared_bytes(model: ModelProto, batch: int) -> int:
    """The least that a runtime takes for `batch` images: weights, and what must be there between two of its steps.

    A lower bound: a step may write over what it reads for the last time, and of shapes that nobody can know without
    running it nothing is counted. `model` is changed.
    """
    weights = sum(_bytes_of_weight(each) for each in model.graph.initializer)
    return weights + activation_bytes(model, batch)


def activation_bytes(model: ModelProto, batch: int) -> int:
    """The largest sum of what is there between two steps for `batch` images, likewise. `model` is changed."""
    graph = model.graph
    names = {each.name for each in graph.initializer}
    for each in [each for each in graph.initializer if math.prod(each.dims) > SHAPE]:
        graph.input.append(onnx.helper.make_tensor_value_info(each.name, each.data_type, each.dims))
        graph.initializer.remove(each)
    for given in graph.input:
        for dim in given.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value"):
                dim.dim_value = batch
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    return _most_together(inferred, names)


def _most_together(graph: GraphProto, weights: set[str]) -> int:
    """The largest sum of activations, in bytes, that live between two nodes of a graph."""
    known = (*graph.input, *graph.value_info, *graph.output)
    sizes = {each.name: _bytes(each.type) for each in known if each.name not in weights}
    last = {name: number for number, node in enumerate(graph.node) for name in node.input}
    last |= {each.name: len(graph.node) for each in graph.output}
    living = {each.name for each in graph.input if each.name in sizes}
    most = sum(sizes[name] for name in living)
    for number, node in enumerate(graph.node):
        living |= {name for name in node.output if name in sizes}
        living = {name for name in living if last.get(name, -1) > number}
        most = max(most, sum(sizes[name] for name in living))
    return most


def _bytes(kind: TypeProto) -> int:
    """Of a tensor whose shape is known, else 0."""
    tensor = kind.tensor_type
    dims = [dim.dim_value for dim in tensor.shape.dim]
    if not tensor.HasField("shape") or not all(dim.HasField("dim_value") for dim in tensor.shape.dim):
        return 0
    return math.prod(dims) * _itemsize(tensor.elem_type)


def _bytes_of_weight(of: onnx.TensorProto) -> int:
    """As it is stored, or, of one that lies in another file, as it is declared."""
    return len(of.raw_data) or math.prod(of.dims) * _itemsize(of.data_type)


def _itemsize(data_type: int) -> int:
    return onnx.helper.tensor_dtype_to_np_dtype(data_type).itemsize
