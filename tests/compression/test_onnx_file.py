"""What an ONNX file needs to be run, and how many of its weights are not zero."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.base.errors import UserError
from pipeline.compression import costs
from pipeline.compression.card import Card
from pipeline.compression.export_onnx import export
from pipeline.compression.onnx_file import least_runtime, read_onnx, write_onnx
from pipeline.compression.quantise import store_weights
from pipeline.compression.runtime import Runtime
from tests.compression.nets import trained

CARD = Card(classes=tuple("abcde"), mean=(0.5,), std=(0.2,), channels=1, size=16)
ARCHITECTURE = {"family": "plain", "widths": [6, 12]}


@pytest.mark.parametrize(
    ("opset", "ir", "runtime"),
    [(18, 8, "1.14"), *(pytest.param(*each, marks=pytest.mark.long) for each in ((20, 9, "1.17"), (21, 10, "1.18")))],
)
def test_an_older_opset_is_of_an_older_format_and_runs_in_an_older_runtime(
    opset: int, ir: int, runtime: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    net = trained(ARCHITECTURE)
    export(net, path, CARD, opset=opset)
    model, _ = read_onnx(path)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", opset)]
    assert model.ir_version == ir
    assert least_runtime(path) == runtime
    assert Runtime(path).logits(np.zeros((3, 1, 16, 16), np.uint8)).shape == (3, 5)
    # Normalisation is no weight.
    weights = [parameter for parameter in net.parameters() if parameter.ndim > 1]
    assert costs.nonzeros_of_file(path) == sum(weight.numel() for weight in weights)
    store_weights(path, path, "int8")
    assert 0 < costs.nonzeros_of_file(path) <= sum(weight.numel() for weight in weights)
    if opset == 21:
        store_weights_in_4_bits(tmp_path)


def store_weights_in_4_bits(folder: Path) -> None:
    export(trained(ARCHITECTURE), folder / "four.onnx", CARD)
    store_weights(folder / "four.onnx", folder / "four.onnx", "int4")
    assert least_runtime(folder / "four.onnx") == "1.20"


def test_a_file_of_a_newer_format_is_not_said_to_run(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    pixels, logits = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in ("pixels", "logits"))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["pixels", "w"], ["logits"])], "g", [pixels], [logits], [weight]
    )
    for opset, ir, runtime in ((18, 8, "1.14"), (18, 9, "1.15"), (18, 10, "1.18"), (20, 8, "1.17"), (21, 11, None)):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
        write_onnx(model, tmp_path / "model.onnx", CARD)
        if runtime:
            assert least_runtime(tmp_path / "model.onnx") == runtime
            continue
        with pytest.raises(UserError, match="opset 21 and IR 11"):
            least_runtime(tmp_path / "model.onnx")
    assert onnx.load(tmp_path / "model.onnx").ir_version == 11
