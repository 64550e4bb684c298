"""A model file is not trusted, and no torch is needed to run it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxscript", reason="export needs the packages onnx, onnxscript and onnxruntime")
pytest.importorskip("onnxruntime", reason="running a model needs the package onnxruntime")

import onnx
from onnx import helper, numpy_helper

from pipeline.base.errors import UserError
from pipeline.compression import runtime
from pipeline.compression.runtime import Runtime
from tests.compression.ships import convolution, exported, images


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shipped") / "model.onnx"
    path.write_bytes(exported())
    return path


def test_pixels_are_shares_of_the_brightest(tmp_path: Path):
    weights_OI = convolution(tmp_path / "model.onnx")
    means_NI = images(9).mean(axis=(2, 3)) / 255
    np.testing.assert_allclose(Runtime(tmp_path / "model.onnx").logits(images(9)), means_NI @ weights_OI.T, atol=1e-5)


def test_threads_and_batches_do_not_matter(shipped: Path):
    whole = Runtime(shipped).logits(images())
    assert whole.shape == (70, 5)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(Runtime(shipped, threads=None).logits(images(), batch_size=9), whole, atol=1e-6)
    assert Runtime(shipped).logits(images(0)).shape == (0, 5)


@pytest.mark.parametrize("name", ["compression.runtime", "commands.predict"])
def test_torch_is_not_imported(name):
    code = f"import sys, pipeline.{name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_files_that_are_no_models_are_refused(shipped: Path, tmp_path: Path, monkeypatch):
    with pytest.raises(UserError, match=r"absent\.onnx is missing"):
        Runtime(tmp_path / "absent.onnx")
    (tmp_path / "half.onnx").write_bytes(shipped.read_bytes()[:999])
    with pytest.raises(UserError, match=r"half\.onnx is no model that onnxruntime can run"):
        Runtime(tmp_path / "half.onnx")
    monkeypatch.setattr(runtime, "LARGEST", 1000)
    with pytest.raises(UserError, match="and is not loaded"):
        Runtime(shipped)


@pytest.mark.parametrize("absolute", [True, False])
def test_tensors_outside_the_folder_are_refused(shipped: Path, tmp_path: Path, absolute):
    """A file could otherwise read any file of this machine into its weights."""
    model = onnx.load(shipped)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "net.linear.weight")
    (tmp_path / "secret").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    location = tensor.external_data.add()
    location.key, location.value = "location", str(tmp_path / "secret") if absolute else "../secret"
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="is no model that onnxruntime can run"):
        Runtime(tmp_path / "inner" / "model.onnx")


def answering(path: Path, *nodes: onnx.NodeProto, **constants: np.ndarray) -> Runtime:
    """The network of one convolution, whose logits go through these nodes from `all` to `logits`."""
    convolution(path)
    model = onnx.load(path)
    model.graph.node[-1].output[0] = "all"
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    path.write_bytes(model.SerializeToString())
    return Runtime(path)


def test_logits_that_are_not_finite_are_no_answer(tmp_path: Path):
    """Of the image that they are of, whatever the batch."""
    scales_NC = np.ones((10, 5), np.float32)
    for value in (np.nan, np.inf, -np.inf):
        scales_NC[7, 3] = value
        runtime = answering(tmp_path / "a.onnx", helper.make_node("Mul", ["all", "s"], ["logits"]), s=scales_NC)
        with pytest.raises(UserError, match=r"a\.onnx gives image 7 a logit that is not finite"):
            runtime.logits(images(10))
    twice = helper.make_node("Mul", ["all", "s"], ["more"]), helper.make_node("Mul", ["more", "s"], ["logits"])
    runtime = answering(tmp_path / "a.onnx", *twice, s=np.full((1, 5), 3e38, np.float32))
    dark = np.zeros_like(images(10))
    dark[7] = images(1)[0]
    with pytest.raises(UserError, match=r"a\.onnx gives image 7 a logit"):
        runtime.logits(dark, batch_size=5)


def test_answers_of_another_shape_are_none(tmp_path: Path):
    limits = {"starts": np.array([0]), "ends": np.array([3]), "axes": np.array([0])}
    rows = answering(tmp_path / "a.onnx", helper.make_node("Slice", ["all", *limits], ["logits"]), **limits)
    assert rows.logits(images(3)).shape == (3, 5)
    with pytest.raises(UserError, match=r"a\.onnx answers 9 images of 5 classes with numbers of shape \(3, 5\)"):
        rows.logits(images(9))
    kept = [
        helper.make_node("ReduceMax", ["all", "rows"], ["most"], keepdims=0),
        helper.make_node("Greater", ["most", "limit"], ["kept"]),
        helper.make_node("Compress", ["all", "kept"], ["logits"], axis=1),
    ]
    classes = answering(tmp_path / "a.onnx", *kept, rows=np.array([0]), limit=np.array(1e9, np.float32))
    with pytest.raises(UserError, match=r"a\.onnx answers 9 images of 5 classes with numbers of shape \(9, 0\)"):
        classes.logits(images(9))


def test_an_error_of_the_runtime_is_one_sentence(tmp_path: Path):
    rows = np.array([100])
    runtime = answering(tmp_path / "a.onnx", helper.make_node("Gather", ["all", "rows"], ["logits"]), rows=rows)
    with pytest.raises(UserError, match=r"^.*a\.onnx fails while it runs \(.*indices.*\): export it anew$") as refused:
        runtime.logits(images(9))
    assert "\n" not in str(refused.value)


def test_a_card_of_another_graph_is_refused(shipped: Path, tmp_path: Path):
    model = onnx.load(shipped)
    (item,) = (item for item in model.metadata_props if item.key == "cohobate.classes")
    item.value = '["a", "b"]'
    (tmp_path / "other.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="takes or gives other tensors than its metadata say"):
        Runtime(tmp_path / "other.onnx")
