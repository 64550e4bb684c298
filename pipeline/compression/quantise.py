"""Post-training quantisation of an exported ONNX file: no torch.

`static`: whole numbers throughout, by onnxruntime's own tool. `store_weights` and `store_frozen`: only the weights
are stored small, and widened when the file is loaded or run.

Legend: N images, C channels, H = W edge, O output channels, I all else of a weight.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Literal

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from pipeline.base.errors import UserError
from pipeline.base.files import replacing
from pipeline.compression.onnx_file import read_onnx, write_onnx
from pipeline.models.grid import Frozen, fit_scales, round_to

Overrides = dict[str, list[dict[str, Any]]]
Method = Literal["minmax", "percentile", "entropy"]
Kind = Literal["float16", "bfloat16", "int8", "int4"]
METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
HALF = {
    "float16": (np.dtype(np.float16), TensorProto.FLOAT16),
    "bfloat16": (np.dtype(ml_dtypes.bfloat16), TensorProto.BFLOAT16),
}
BITS = {"int8": 8, "int4": 4}
# The key and value by which onnxruntime knows that shapes are inferred and asks for no preprocessing.
PREPARED = {"onnx.quant.pre_process": "onnxruntime.quant"}
PERCENTILE = 99.99

# A weight's name and its values (O, I), to what is stored and the nodes that give them back.
Encoded = tuple[list[TensorProto], list[onnx.NodeProto]]
Encode = Callable[[str, np.ndarray, "Layout"], Encoded]


def static(
    path: Path,
    out: Path,
    pixels_NCHW: np.ndarray,
    *,
    method: Method = "minmax",
    batch_size: int = 64,
    grids: Mapping[str, Frozen] | None = None,
    only: Sequence[str] = (),
    without: Sequence[str] = (),
) -> None:
    """Quantise to int8: weights symmetric per output channel, activations uint8 with calibrated ranges (QDQ).

    A file of a frozen model keeps the ranges that its training learned, and with `grids` its whole numbers; what
    training left float (sums, pooling) is calibrated.

    Args:
        path: A file of `export_onnx.export`.
        out: Where to write, `path` itself if so wanted.
        pixels_NCHW: Training views to calibrate on, float32 pixels in 0 .. 1, not normalised.
        method: How ranges are found: smallest and largest, 99.99 % of the values, or least KL divergence.
        batch_size: Images a pass; those beyond whole batches are left out. One pass is in memory at a time.
        grids: What `fake_quantise.freeze` returned.
        only, without: Names of nodes: those that alone are quantised, where there are any, and those that stay float.

    Raises:
        UserError: Training put inputs on grids of fewer than 8 bits, for which there are no integer kernels.
    """
    model, card = read_onnx(path)
    overrides = _take_ranges(model.graph, path) | _weight_overrides(model.graph, grids or {})
    model = onnx.shape_inference.infer_shapes(model)
    helper.set_model_props(model, PREPARED)
    # One batch at a time: else all that every node gives for all images is in memory together.
    options: dict[str, Any] = {"TensorQuantOverrides": overrides, "CalibStridedMinMax": 1}
    if method == "percentile":
        options["CalibPercentile"] = PERCENTILE
    # The tool prints what it does.
    with replacing(out) as temporary, redirect_stdout(io.StringIO()):
        quantize_static(
            model,
            str(temporary),
            _Reader(pixels_NCHW, batch_size),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=METHODS[method],
            nodes_to_quantize=[*only],
            nodes_to_exclude=[*without],
            extra_options=options,
        )
        write_onnx(onnx.load(temporary), temporary, card)


def store_weights(path: Path, out: Path, kind: Kind) -> None:
    """Store the weights of convolutions and linear layers as `kind`; everything is computed in float32.

    int8 and int4 are symmetric per output channel, with the scales of the least squared error.
    """

    def half(name: str, weights_OI: np.ndarray, layout: Layout) -> Encoded:
        dtype, _ = HALF[kind]
        if np.abs(weights_OI).max() > float(ml_dtypes.finfo(dtype).max):
            raise UserError(f"weight {name!r} of {path} has numbers above the largest of {kind}: use bfloat16")
        stored = f"{name}.{kind}"
        node = helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT)
        return [numpy_helper.from_array(layout.back(weights_OI.astype(dtype)), stored)], [node]

    def whole(name: str, weights_OI: np.ndarray, layout: Layout) -> Encoded:
        scales_O = fit_scales(weights_OI, BITS[kind])
        stored = _on_grid(name, round_to(weights_OI, scales_O, BITS[kind]), scales_O, layout, BITS[kind])
        return stored, _multiplied(name, layout)

    model, card = read_onnx(path)
    _store(model, half if kind in HALF else whole)
    write_onnx(model, out, card)


def store_frozen(path: Path, out: Path, grids: Mapping[str, Frozen]) -> None:
    """Store weights that training put on grids as whole numbers: nothing is lost, also after batch norm was folded.

    Args:
        path: A file that `export_onnx.export` wrote of a frozen model.
        out: Where to write, `path` itself if so wanted.
        grids: What `fake_quantise.freeze` returned. Up to 4 bits are stored in 4, more in 8.
    """
    missing = set(grids)

    def frozen(name: str, weights_OI: np.ndarray, layout: Layout) -> Encoded:
        key = _key(name)
        missing.discard(key)
        if key not in grids:
            raise ValueError(f"{path} holds the weight {key!r}, for which no grid is given")
        scales_O = grids[key].scales(weights_OI)
        codes_OI = round_to(weights_OI, scales_O, grids[key].bits)
        if not np.allclose(codes_OI * scales_O[:, None], weights_OI, rtol=1e-4, atol=1e-7):
            raise ValueError(f"{path} holds the weight {key!r}, which does not lie on the given grid")
        stored = _on_grid(name, codes_OI, scales_O, layout, grids[key].bits)
        return stored, _dequantised(name, layout) if with_inputs else _multiplied(name, layout)

    model, card = read_onnx(path)
    with_inputs = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    _store(model, frozen)
    if missing:
        raise ValueError(f"{path} has no weight {min(missing)!r}, for which a grid is given")
    write_onnx(model, out, card)


class Layout:
    """Between a weight as ONNX has it and (O, I); `axis` is that of the output channels."""

    def __init__(self, shape: tuple[int, ...], axis: int) -> None:
        self.axis = axis
        self.column = [-1 if each == axis else 1 for each in range(len(shape))]
        self.moved = (shape[axis], *shape[:axis], *shape[axis + 1 :])

    def flat(self, weight: np.ndarray) -> np.ndarray:
        """(O, I) of the weight."""
        return np.moveaxis(weight, self.axis, 0).reshape(self.moved[0], -1)

    def back(self, weights_OI: np.ndarray) -> np.ndarray:
        """The weight of (O, I)."""
        return np.ascontiguousarray(np.moveaxis(weights_OI.reshape(self.moved), 0, self.axis))


class _Reader(CalibrationDataReader):
    """Batches of pixels, once; all of one size, as the tool's histograms need."""

    def __init__(self, pixels_NCHW: np.ndarray, batch_size: int) -> None:
        size = min(batch_size, len(pixels_NCHW))
        starts = range(0, len(pixels_NCHW) - size + 1, size)
        self._all = [pixels_NCHW[start : start + size] for start in starts]
        self._batches = iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Which batches come next."""
        self._batches = iter(self._all[start_index:end_index])

    def get_next(self) -> dict[str, np.ndarray] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        batch = next(self._batches, None)
        return None if batch is None else {"pixels": batch.astype(np.float32)}


def _store(model: onnx.ModelProto, encode: Encode) -> None:
    """Replace each weight by what `encode` makes of it; its old name is now the output of the last node."""
    graph = model.graph
    added: list[onnx.NodeProto] = []
    for name, axis, tensor in _weights(graph):
        weight = numpy_helper.to_array(tensor)
        layout = Layout(weight.shape, axis)
        stored, nodes = encode(name, layout.flat(weight), layout)
        graph.initializer.remove(tensor)
        graph.initializer.extend(stored)
        added.extend(nodes)
    _set_nodes(graph, [*added, *graph.node])


def _set_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    graph.ClearField("node")
    graph.node.extend(nodes)


def _weights(graph: onnx.GraphProto) -> list[tuple[str, int, TensorProto]]:
    """Each float weight of a convolution or linear layer, once: name, axis of the output channels, tensor."""
    floats = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    found = []
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul") and node.input[1] in floats:
            rows = node.op_type == "Conv" or any(item.name == "transB" and item.i for item in node.attribute)
            found.append((node.input[1], 0 if rows else 1, floats.pop(node.input[1])))
    return found


def _key(name: str) -> str:
    """The name that a weight has in the network itself."""
    return name.removeprefix("net.")


def _take_ranges(graph: onnx.GraphProto, path: Path) -> Overrides:
    """Take learned input grids out of the graph; return them as onnxruntime wants them told, tensor to grid."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    if any(node.op_type == "Round" for node in graph.node):
        raise UserError(f"{path} has inputs of fewer than 8 bits, for which there are no integer kernels: give 8")
    kept: list[onnx.NodeProto] = []
    plain: dict[str, str] = {}  # output of a grid's two nodes -> their input
    found: Overrides = {}
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            kept.append(node)
            continue
        tensor = plain.get(node.input[0], node.input[0])
        plain[node.output[0]] = tensor
        scale, zero = (numpy_helper.to_array(tensors[name]) for name in node.input[1:])
        found[tensor] = [{"quant_type": QuantType.QUInt8, "scale": scale, "zero_point": zero}]
    for node in kept:
        node.input[:] = [plain.get(name, name) for name in node.input]
    _set_nodes(graph, kept)
    used = {name for node in kept for name in node.input}
    for name in tensors.keys() - used:
        graph.initializer.remove(tensors[name])
    return found


def _weight_overrides(graph: onnx.GraphProto, grids: Mapping[str, Frozen]) -> Overrides:
    """The scales of frozen weights as onnxruntime wants them told: weight to one entry an output channel."""
    zero = np.int8(0)
    return {
        name: [
            {"quant_type": QuantType.QInt8, "axis": axis, "scale": scale, "zero_point": zero}
            for scale in grids[_key(name)].scales(Layout(tuple(tensor.dims), axis).flat(numpy_helper.to_array(tensor)))
        ]
        for name, axis, tensor in _weights(graph)
        if _key(name) in grids
    }


def _on_grid(name: str, codes_OI: np.ndarray, scales_O: np.ndarray, layout: Layout, bits: int) -> list[TensorProto]:
    dtype = np.dtype(ml_dtypes.int4 if bits <= 4 else np.int8)
    codes = numpy_helper.from_array(layout.back(codes_OI).astype(dtype), f"{name}.codes")
    return [codes, numpy_helper.from_array(scales_O, f"{name}.scales")]


def _dequantised(name: str, layout: Layout) -> list[onnx.NodeProto]:
    """What onnxruntime needs to see before it computes in integers."""
    return [helper.make_node("DequantizeLinear", [f"{name}.codes", f"{name}.scales"], [name], axis=layout.axis)]


def _multiplied(name: str, layout: Layout) -> list[onnx.NodeProto]:
    """For float layers: onnxruntime does this once, when it loads the file, and DequantizeLinear at each run."""
    shape, column, wide = f"{name}.column", f"{name}.scales.column", f"{name}.wide"
    return [
        helper.make_node("Cast", [f"{name}.codes"], [wide], to=TensorProto.FLOAT),
        helper.make_node("Constant", [], [shape], value_ints=layout.column),
        helper.make_node("Reshape", [f"{name}.scales", shape], [column]),
        helper.make_node("Mul", [wide, column], [name]),
    ]
