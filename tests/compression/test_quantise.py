"""What ships small answers as what was measured: the same classes, in fewer bytes."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxscript", reason="export needs the packages onnx, onnxscript and onnxruntime")
pytest.importorskip("onnxruntime", reason="quantisation needs the packages onnx and onnxruntime")

import onnx

from pipeline.base.errors import UserError
from pipeline.compression.export_onnx import check, export
from pipeline.compression.quantise import static, store_frozen, store_weights
from pipeline.compression.runtime import Runtime
from pipeline.models.fake_quantise import calibrate, fake_quantise, freeze
from tests.compression.ships import CARD, convolution, exported, images, logits, net, normalised

PIXELS = images().astype(np.float32) / 255
WIDE = {"family": "plain", "widths": [32, 64]}


def near(path: Path, truth_NC: np.ndarray, share: float) -> None:
    """Errors are small beside the spread of the logits, and not none at all."""
    found_NC = Runtime(path).logits(images())
    error = np.abs(found_NC - truth_NC).mean() / truth_NC.std()
    assert 0 < error < share


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_static_int8(tmp_path: Path, method, capsys):
    path = tmp_path / "float.onnx"
    path.write_bytes(exported(WIDE))
    out = tmp_path / "int8.onnx"
    static(path, out, PIXELS, method=method, batch_size=32)
    near(out, logits(net(WIDE), images()), 0.2 if method == "entropy" else 0.05)
    model = onnx.load(out)
    assert {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) > 1} >= {onnx.TensorProto.INT8}
    assert not any(
        tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 4 for tensor in model.graph.initializer
    )
    assert out.stat().st_size < 0.5 * path.stat().st_size
    assert capsys.readouterr().out == ""
    assert sorted(each.name for each in tmp_path.iterdir()) == ["float.onnx", "int8.onnx"]
    first = out.read_bytes()
    static(path, out, PIXELS, method=method, batch_size=32)
    assert out.read_bytes() == first


def test_calibration_sees_every_batch(tmp_path: Path):
    """The first batch is black and the second one is white: ranges of the first alone would cut what is bright."""
    path = tmp_path / "float.onnx"
    convolution(path)
    pixels_NCHW = np.zeros((8, 2, 8, 8), np.float32)
    pixels_NCHW[4:] = 1
    static(path, path, pixels_NCHW, batch_size=4)
    graph = onnx.load(path).graph
    (quantised,) = (node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "pixels")
    scales = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    assert float(scales[quantised.input[1]]) == pytest.approx(1 / 255)


@pytest.mark.parametrize(
    ("kind", "share", "size"),
    [("float16", 1e-3, 0.6), ("bfloat16", 1e-2, 0.6), ("int8", 0.02, 0.35), ("int4", 0.3, 0.23)],
)
@pytest.mark.parametrize("architecture", [WIDE, {"family": "plain", "depth": 8}])
def test_small_weights(tmp_path: Path, architecture, kind, share, size):
    (tmp_path / "float.onnx").write_bytes(exported(architecture))
    store_weights(tmp_path / "float.onnx", tmp_path / "small.onnx", kind)
    near(tmp_path / "small.onnx", logits(net(architecture), images()), share)
    assert (tmp_path / "small.onnx").stat().st_size < size * (tmp_path / "float.onnx").stat().st_size + 2000


def test_numbers_that_float16_lacks_are_refused(tmp_path: Path):
    model = net(WIDE)
    model.get_parameter("linear.weight").data[0, 0] = 1e6
    export(model, tmp_path / "float.onnx", CARD)
    with pytest.raises(UserError, match="above the largest of float16: use bfloat16"):
        store_weights(tmp_path / "float.onnx", tmp_path / "small.onnx", "float16")


@pytest.mark.long
@pytest.mark.parametrize("bits", [2, 8])
def test_frozen_weights_are_stored_exactly(tmp_path: Path, bits):
    model = fake_quantise(net(), bits, None, end_bits=2).eval()
    grids = freeze(model)
    path = tmp_path / "model.onnx"
    export(model, path, CARD)
    store_frozen(path, path, grids)
    assert check(path, model, images())["maximal_difference"] < 2e-5
    whole = {onnx.TensorProto.INT4 if bits <= 4 else onnx.TensorProto.INT8}
    tensors = [tensor for tensor in onnx.load(path).graph.initializer if tensor.name.endswith(".codes")]
    assert len(tensors) == len(grids)
    assert {tensor.data_type for tensor in tensors} == whole


def test_grids_of_another_model_are_refused(tmp_path: Path):
    model = fake_quantise(net(), 4, None).eval()
    grids = freeze(model)
    path = tmp_path / "model.onnx"
    path.write_bytes(exported())
    with pytest.raises(ValueError, match="does not lie on the given grid"):
        store_frozen(path, path, grids)
    with pytest.raises(ValueError, match="for which no grid is given"):
        store_frozen(path, path, {})


@pytest.mark.long
@pytest.mark.parametrize(("weight_bits", "activation_bits"), [(3, 8), (2, 3)])
def test_learned_ranges_ship(tmp_path: Path, weight_bits, activation_bits):
    """Rounding is a cliff: a last bit that differs moves an input by a whole step, so errors are small, not none."""
    model = fake_quantise(net(), weight_bits, activation_bits)
    calibrate(model, [normalised(images())])
    truth_NC = logits(model.eval(), images())
    grids = freeze(model)
    path = tmp_path / "model.onnx"
    export(model, path, CARD)
    store_frozen(path, tmp_path / "stored.onnx", grids)
    near(tmp_path / "stored.onnx", truth_NC, 0.05)
    if activation_bits < 8:
        with pytest.raises(UserError, match="fewer than 8 bits"):
            static(path, tmp_path / "int8.onnx", PIXELS, grids=grids)
        return
    # Half the images would give other ranges: the learned ones are kept.
    static(path, tmp_path / "int8.onnx", 0.5 * PIXELS, grids=grids)
    graph = onnx.load(tmp_path / "int8.onnx").graph
    scales = {
        float(onnx.numpy_helper.to_array(each))
        for each in graph.initializer
        if each.name.endswith("_scale") and not each.dims
    }
    learned = {float(module.input_grid.scale) for module in model.modules() if hasattr(module, "input_grid")}  # pyright: ignore
    assert learned <= scales
