"""The compress chain: what each step leaves behind, and that the next one can work with it."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.base.signals import Stopped
from pipeline.compression.onnx_file import read_onnx
from pipeline.compression.runtime import Runtime
from pipeline.data import prepared
from pipeline.data.rows import Rows
from pipeline.data.views import normalise
from pipeline.dvc.training_state import VARIABLE
from pipeline.evaluation import cost
from pipeline.lineage import node
from pipeline.lineage.node import Node
from pipeline.lineage.predictions import read_predictions
from pipeline.models.build import rebuild
from pipeline.models.fake_quantise import FrozenInput, InputGrid
from pipeline.training.learn import load
from pipeline.training.teacher import StoredLabels
from tests.compression.chains import run, workshop
from tests.training.runs import CPU, furnish, inside

TORCH = ["small", "zero", "thin", "low", "cheap", "book", "tune", "tune4"]
FILES = [
    "int8",
    "after",
    "float16",
    "int4_weights",
    "export",
    *(pytest.param(step, marks=pytest.mark.long) for step in ("bfloat16", "int8_weights", "program")),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compress")
    with inside(folder):
        furnish(folder)
    return folder


@pytest.fixture
def shop(folder: Path):
    with workshop(folder):
        yield folder


def metrics(of: Node) -> dict[str, Any]:
    return node.read_numbers(of.name)


def answers(of: Node) -> Tensor:
    """Logits on the clean test images, from node.json and the weights alone."""
    data = prepared.read(DATA)
    x_BCHW = normalise(torch.from_numpy(np.array(data.test.images[:])), torch.tensor(data.mean), torch.tensor(data.std))
    with torch.no_grad():
        return load(of, CPU).eval()(x_BCHW)


@pytest.mark.parametrize("step", TORCH)
def test_a_network_is_rebuilt_from_its_node_alone(shop: Path, step: str) -> None:
    (made,) = run(shop, [step])
    assert (made.format, made.status) == (
        "safetensors",
        "trained" if step in ("small", "tune", "tune4") else "computed",
    )
    torch.testing.assert_close(answers(made), read_predictions(made)["test"], rtol=1e-4, atol=1e-4)
    found = metrics(made)
    assert found["step"] == step
    assert found["bytes"] == made.weights.stat().st_size >= found["compressed_bytes"]
    assert 0 < found["nonzeros"] <= found["parameters"]


@pytest.mark.parametrize("step", FILES)
def test_a_file_answers_as_its_node_says(shop: Path, step: str) -> None:
    (made,) = run(shop, [step])
    assert (made.format, made.provides) == ("onnx", ("weights", "predictions"))
    data = prepared.read(DATA)
    answers_NC = Runtime(made.weights).logits(data.test.images)
    np.testing.assert_array_equal(answers_NC, read_predictions(made)["test"].numpy())
    found, teacher = metrics(made), metrics(node.read("teacher"))
    assert found["report"]["against_torch"]["agreement"] > (0.6 if step in ("after", "int4_weights") else 0.9)
    assert found["parameters"] == teacher["parameters"]
    if step in ("export", "program"):
        assert found["report"]["against_torch"]["maximal_difference"] < 1e-3
        assert (made.folder / "torch" / "model.pt2").exists() == (step == "program")
    else:
        assert found["bytes"] < 0.7 * teacher["bytes"]


def test_filters_that_are_pruned_are_gone(shop: Path) -> None:
    thin, tuned = run(shop, ["thin", "tune"])
    whole, small = metrics(node.read("teacher")), metrics(thin)
    assert 0.5 * whole["flops"] < small["flops"] <= 0.6 * whole["flops"]
    assert small["flops"] / whole["flops"] == small["report"]["flops_kept"]
    assert cost.parameters(load(thin, CPU)) == small["parameters"] < whole["parameters"]
    assert tuned.architecture == thin.architecture
    assert metrics(tuned)["flops"] == small["flops"]
    assert [name for name, _ in tuned.chain] == ["compress/c1", "compress/c2"]


@pytest.mark.parametrize("tune", ["tune", "tune8"])
def test_weights_that_are_pruned_stay_so_in_tuning(shop: Path, tune: str) -> None:
    zero, tuned = run(shop, ["zero", tune])
    assert metrics(zero)["report"]["sparsity"] == pytest.approx(0.5, abs=1e-4)
    assert metrics(tuned)["nonzeros"] == metrics(zero)["nonzeros"] < 0.6 * metrics(zero)["parameters"]
    assert tuned.hashes["weights"] != zero.hashes["weights"]


@pytest.mark.long
def test_what_was_tuned_on_grids_ships_on_them(shop: Path) -> None:
    tuned, shipped = run(shop, ["tune4", "grids"])
    assert tuned.architecture is not None
    assert tuned.architecture["grids"] == {"weight_bits": 4, "activation_bits": 4}
    assert any(isinstance(module, InputGrid) for module in load(tuned, CPU).modules())
    assert not any(isinstance(module, FrozenInput) for module in load(tuned, CPU).modules())
    report = metrics(shipped)["report"]["against_torch"]
    assert report["agreement"] > 0.99
    assert metrics(shipped)["bytes"] < metrics(tuned)["bytes"] / 2
    # Tuned on, it keeps its grids.
    _, again = run(shop, ["tune8", "tune"])
    assert again.architecture is not None
    assert again.architecture["grids"] == {"weight_bits": 8, "activation_bits": 8}


@pytest.mark.long
def test_int8_needs_a_tuning_for_eight_bits(shop: Path) -> None:
    *_, shipped = run(shop, ["tune8", "int8"])
    assert metrics(shipped)["report"]["against_torch"]["agreement"] > 0.95
    with pytest.raises(UserError, match=r"steps\.int8\.form is int8, but compress/c1 was tuned for 4 bits"):
        run(shop, ["tune4", "int8"])


@pytest.mark.long
def test_what_is_exported_after_quantising_is_that_file_with_probabilities(shop: Path) -> None:
    quantised, shipped = run(shop, ["int8", "export"])
    assert shipped.hashes["predictions"] == quantised.hashes["predictions"]
    before, after = (read_onnx(each.weights)[0].graph for each in (quantised, shipped))
    assert [*after.node][:-2] == [*before.node] and [*after.initializer][:-1] == [*before.initializer]
    assert [each.name for each in after.output] == ["logits", "probabilities"]
    assert metrics(shipped)["report"]["against_stored"] == {"agreement": 1.0, "maximal_difference": 0.0}
    quantised.weights.write_bytes(b"changed")
    from stages.__main__ import compress

    with pytest.raises(UserError, match=r"model\.onnx is damaged"):
        compress("c2")


def test_a_budget_becomes_a_width(shop: Path) -> None:
    shape = {"family": "separable", "widths": [1, 2], "budget": {"parameters": 1500}}
    (made,) = run(shop, ["sized"], {"steps": {"sized": {"kind": "distil", "architecture": shape}}})
    assert made.architecture is not None
    assert "budget" not in made.architecture
    low, high = made.architecture["widths"]
    assert high in (2 * low, 2 * low + 1)
    assert 1000 < metrics(made)["parameters"] <= 1500
    assert cost.parameters(rebuild(made.architecture)) == metrics(made)["parameters"]


def test_one_student_teaches_the_next(shop: Path) -> None:
    first, second = run(shop, ["small", "small"])
    assert [item["teacher"] for item in second.lineage] == ["compress/c1"]
    assert len(list((first.folder / "labels").glob("view_*"))) == 3
    assert len(list((second.folder / "labels").glob("view_*"))) == 1


def test_shared_values_are_what_the_network_computes_with(shop: Path) -> None:
    book, tuned = run(shop, ["book", "tune"])
    model = load(book, CPU)
    assert all(len(weight.unique()) <= 8 for weight in model.parameters() if weight.ndim > 1)
    assert metrics(book)["bytes"] < 0.2 * metrics(node.read("teacher"))["bytes"]
    assert set(metrics(book)["report"]["errors"]) == {n for n, w in model.named_parameters() if w.ndim > 1}
    assert metrics(tuned)["bytes"] > metrics(book)["bytes"], "tuned weights are free again"


@pytest.mark.parametrize("steps", [pytest.param(1, marks=pytest.mark.long), 5])
def test_a_tuning_that_is_stopped_goes_on_to_the_same_bytes(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    order = ["zero", "tune8"]
    whole = files.sha256(run(shop, order)[1].weights)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "state"))
    output, calls = StoredLabels.output, 0

    def kill(self: StoredLabels, v: int, rows: Rows, x_BCHW: Tensor) -> Any:
        nonlocal calls
        calls += 1
        if calls == steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return output(self, v, rows, x_BCHW)

    with monkeypatch.context() as patch:
        patch.setattr(StoredLabels, "output", kill)
        with pytest.raises(Stopped):
            run(shop, order)
    assert files.sha256(run(shop, order)[1].weights) == whole
    assert calls == steps, "the rest was trained after the stop"


@pytest.mark.long
def test_time_and_memory_are_measured_beside_the_teacher(folder: Path) -> None:
    with workshop(folder, measured=True):
        small, shipped = run(folder, ["small", "int8"])
        torch_cost, file_cost = metrics(small)["cost"], metrics(shipped)["cost"]
    for each in (torch_cost, file_cost):
        for batch in ("batch_1", "batch_64"):
            latency = each["latency"][batch]
            assert latency["ms"] > 0
            assert latency["ratio"] == pytest.approx(latency["teacher_ms"] / latency["ms"], rel=0.01)
        assert 10e6 < each["peak_memory_bytes"] < 4e9
    assert file_cost["latency"]["batch_64"]["ratio"] > 1, "438 parameters against 75,002"
    assert file_cost["peak_memory_bytes"] < torch_cost["peak_memory_bytes"]
