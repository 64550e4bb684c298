"""Layers that stay float: the sweep finds the one that cannot be whole numbers, and nothing else is left out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxscript", reason="export needs the packages onnx, onnxscript and onnxruntime")
pytest.importorskip("onnxruntime", reason="quantisation needs the packages onnx and onnxruntime")

import onnx
import torch
from torch import nn

from pipeline.base.errors import UserError
from pipeline.compression import sweep
from pipeline.compression.export_onnx import export
from pipeline.compression.onnx_file import read_onnx
from pipeline.compression.quantise import static
from pipeline.compression.runtime import Runtime
from pipeline.compression.sweep import layers, nodes_of, swept
from tests.compression.ships import CARD, exported, images

PIXELS = images(96).astype(np.float32) / 255


class Uneven(nn.Module):
    """Three convolutions; of what the middle one gives, one channel is a thousand times larger, and hardly used."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.middle, self.last = nn.Conv2d(2, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3)
        self.linear = nn.Linear(8, 5)
        with torch.no_grad():
            self.middle.weight[0] *= 1000
            self.last.weight[:, 0] /= 1000

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        x_BCHW = nn.functional.hardswish(self.first(x_BCHW))
        x_BCHW = nn.functional.silu(self.middle(x_BCHW))
        return self.linear(self.last(x_BCHW).mean((2, 3)))


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("uneven") / "float.onnx"
    export(Uneven().eval(), path, CARD)
    return path


def found(path: Path, log: list[tuple[Sequence[str], Sequence[str]]] | None = None) -> sweep.Sweep:
    def quantise(out: Path, only: Sequence[str], without: Sequence[str]) -> None:
        (log if log is not None else []).append((only, without))
        static(path, out, PIXELS, only=only, without=without)

    return swept(path, PIXELS, quantise)


def test_a_layer_goes_with_the_activation_after_it(uneven: Path) -> None:
    model, _ = read_onnx(uneven)
    there, kinds = layers(model), {node.name: node.op_type for node in model.graph.node}
    assert [*there] == ["first", "middle", "last", "linear"]
    assert [[kinds[node] for node in nodes] for nodes in there.values()] == [
        ["Conv", "HardSwish"],
        ["Conv", "Sigmoid", "Mul"],
        ["Conv"],
        ["Gemm"],
    ]


def test_a_sum_of_two_layers_is_neithers_activation(tmp_path: Path) -> None:
    (tmp_path / "float.onnx").write_bytes(exported())  # a residual network
    model, _ = read_onnx(tmp_path / "float.onnx")
    sums = {node.name for node in model.graph.node if node.op_type == "Add"}
    assert sums and not {name for nodes in layers(model).values() for name in nodes} & sums


def test_the_layer_that_cannot_be_whole_numbers_stays_float(uneven: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[tuple[Sequence[str], Sequence[str]]] = []
    result = found(uneven, calls)
    assert next(iter(result.noise)) in ("middle", "last")
    assert [len(each.kept) for each in result.tried] == [0, 2]
    assert {*result.kept} == {"middle", "last"}
    whole, best = result.tried[0], next(each for each in result.tried if each.kept == result.kept)
    assert best.noise < 0.1 * whole.noise and best.bytes > whole.bytes
    assert len([only for only, _ in calls if only]) == 4 and len(calls) == 6
    assert "int8 with 0 of 4 layers in float: noise" in capsys.readouterr().out


def test_where_nothing_is_gained_nothing_stays_float(tmp_path: Path) -> None:
    path = tmp_path / "float.onnx"
    path.write_bytes(exported({"family": "plain", "widths": [32, 64]}))
    result = found(path)
    assert result.tried[0].noise < 0.01
    # Three layers: none or one may stay, and one is no number that is tried.
    assert result.kept == () and len(result.tried) == 1


def test_what_is_kept_is_float_in_the_file_and_the_rest_is_not(uneven: Path, tmp_path: Path) -> None:
    nodes = nodes_of(read_onnx(uneven)[0], ["middle"], "compress.steps.quantise.keep")
    static(uneven, tmp_path / "kept.onnx", PIXELS, without=nodes)
    graph = onnx.load(tmp_path / "kept.onnx").graph
    kinds = {each.name: each.data_type for each in graph.initializer if len(each.dims) == 4}
    assert sorted(kinds.values()) == [onnx.TensorProto.FLOAT, onnx.TensorProto.INT8, onnx.TensorProto.INT8]
    (kept,) = (name for name, kind in kinds.items() if kind == onnx.TensorProto.FLOAT)
    assert kept == "net.middle.weight"


def test_a_layer_that_is_not_there_is_named(uneven: Path) -> None:
    with pytest.raises(
        UserError, match=r"compress\.steps\.quantise\.keep: unknown layer 'midle', did you mean 'middle'"
    ):
        nodes_of(read_onnx(uneven)[0], ["midle"], "compress.steps.quantise.keep")


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_one_pass_of_calibration_is_in_memory_at_a_time(
    uneven: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """All batches at once would hold what every node gives for all images."""
    from onnxruntime.quantization import calibrate

    seen: list[int] = []
    for each in (calibrate.MinMaxCalibrater, calibrate.HistogramCalibrater):
        real = each.collect_data

        def collect(self: object, reader: object, real: object = real) -> object:
            counted = [*iter(reader.get_next, None)]  # pyright: ignore
            seen.append(len(counted))
            left = iter(counted)
            return real(self, type("Again", (), {"get_next": lambda _: next(left, None)})())  # pyright: ignore

        monkeypatch.setattr(each, "collect_data", collect)
    static(uneven, tmp_path / "a.onnx", PIXELS, method=method, batch_size=32)  # pyright: ignore
    assert seen == [1, 1, 1]
    assert Runtime(tmp_path / "a.onnx").logits(images(3)).shape == (3, 5)
