"""A model that takes more memory than there is is refused before anything of it runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="what a file declares is read by the package onnx")

import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from pipeline.base import memory, passes
from pipeline.base.errors import UserError
from pipeline.base.passes import images_a_pass
from pipeline.commands import predict
from pipeline.compression import runtime
from pipeline.models import declared
from pipeline.models.declared import bytes_an_image, check_fits, declared_bytes
from tests.compression.ships import convolution

WEIGHTS = 5 * 2 * 4  # bytes of the one convolution
MAPS = 5 * 8 * 8 * 4  # bytes that it makes of an image, more than the image has


@pytest.fixture
def model(tmp_path: Path) -> ModelProto:
    convolution(tmp_path / "model.onnx")
    return onnx.load(tmp_path / "model.onnx")


def sized(model: ModelProto, elements: int) -> ModelProto:
    """The same network, which also makes a tensor of so many float32 and adds its sum, nought, to the logits."""
    model.graph.node[-1].output[0] = "all"
    model.graph.node.extend(
        [
            helper.make_node("Mul", ["half", "two"], ["shape"]),  # a number that is known once it is computed
            helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
            helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
            helper.make_node("Add", ["all", "sum"], ["logits"]),
        ]
    )
    constants = {"half": elements // 2, "two": 2}
    model.graph.initializer.extend(numpy_helper.from_array(np.array([each]), name) for name, each in constants.items())
    return model


@pytest.mark.parametrize("batch", [1, 64])
def test_it_is_weights_and_what_lives_between_two_steps(model: ModelProto, batch: int) -> None:
    assert declared_bytes(model, batch) == WEIGHTS + batch * MAPS


def test_a_pass_is_of_as_many_images_as_fit_and_of_256_where_nothing_is_declared(
    model: ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (tmp_path / "model.onnx").read_bytes()
    assert images_a_pass(bytes_an_image(content)) == images_a_pass(bytes_an_image(b"no model")) == 256
    for bound, images in ((9 * MAPS, 8), (8 * MAPS, 8), (8 * MAPS - 1, 4), (1, 1)):
        monkeypatch.setattr(passes, "BYTES", bound)
        assert images_a_pass(bytes_an_image(content)) == images
    seen: list[int] = []
    shipped = runtime.Runtime(tmp_path / "model.onnx")
    monkeypatch.setattr(passes, "BYTES", 4 * MAPS)
    monkeypatch.setattr(shipped, "run", lambda x_BCHW: seen.append(len(x_BCHW)) or np.zeros((len(x_BCHW), 5), "f"))
    shipped.logits(np.zeros((9, 2, 8, 8), np.uint8))
    assert seen == [4, 4, 1]


def test_what_is_read_again_later_still_counts(model: ModelProto) -> None:
    """An image that is needed at the end, too, is there beside the maps."""
    model.graph.node[-1].output[0] = "all"
    reduced = helper.make_node("ReduceSum", ["pixels", "axes"], ["sum"], keepdims=0)
    model.graph.node.extend([reduced, helper.make_node("Add", ["all", "sum"], ["logits"])])
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 2, 3]), "axes"))
    assert declared_bytes(model, 3) == WEIGHTS + 3 * 8 + 3 * (MAPS + 2 * 8 * 8 * 4)


def test_weights_in_another_file_count_as_they_are_declared(model: ModelProto) -> None:
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.dims[:] = [1 << 20, 2, 1, 1]
    assert declared_bytes(model, 1) > 8 << 20


def test_a_model_that_declares_160_gb_is_refused_before_it_runs(
    tmp_path: Path, model: ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    def session(*_: Any, **__: Any) -> None:
        raise AssertionError("onnxruntime was reached, which folds constants as it loads")

    path = tmp_path / "model.onnx"
    path.write_bytes(sized(model, 40_000_000_000).SerializeToString())
    monkeypatch.setattr(runtime.ort, "InferenceSession", session)
    monkeypatch.setattr(memory, "free", lambda: 16 << 30)
    with pytest.raises(
        UserError, match=r"model\.onnx declares 149\.0 GiB .* 16 images, and 16\.0 GiB of memory are free"
    ):
        predict.opened(path)


def test_the_batch_counts(tmp_path: Path, model: ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free", lambda: WEIGHTS + 10 * MAPS)
    check_fits(tmp_path / "model.onnx", 10)
    with pytest.raises(UserError, match="for 11 images"):
        check_fits(tmp_path / "model.onnx", 11)


def test_what_is_no_model_is_left_to_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free", lambda: 0)
    (tmp_path / "half.onnx").write_bytes((tmp_path / "half.onnx").name.encode())
    check_fits(tmp_path / "half.onnx", 1)
    check_fits(tmp_path / "absent.onnx", 1)


def test_large_weights_are_not_read_to_infer_shapes(model: ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    infer, seen = onnx.shape_inference.infer_shapes, []

    def inferred(given: ModelProto, **settings: Any) -> ModelProto:
        seen.append(given.ByteSize())
        return infer(given, **settings)

    weight = numpy_helper.from_array(np.zeros((5, 2, 50, 50), np.float32), model.graph.initializer[0].name)
    model.graph.initializer[0].CopyFrom(weight)
    monkeypatch.setattr(declared.onnx.shape_inference, "infer_shapes", inferred)
    assert declared_bytes(model, 1) >= 100_000
    assert seen and seen[0] < 10_000
