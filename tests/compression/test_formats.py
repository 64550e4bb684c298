"""Files for other runtimes: each answers in its own as the one that ships, or is named as not run."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pipeline.base.paths import DATA
from pipeline.compression.formats import of_openvino, of_torch, rows
from pipeline.compression.formats.original import Answer, NotRun, Original
from pipeline.compression.onnx_file import precision, read_onnx
from pipeline.compression.runtime import Runtime
from pipeline.data import prepared
from pipeline.lineage.node import Node, read_numbers
from pipeline.lineage.predictions import read_predictions
from tests.compression.chains import STEPS, run, workshop
from tests.training.runs import furnish, inside

ASKED = {"steps": {"all": {"kind": "export", "formats": ["onnx", "openvino", "torch"]}}}
WITHOUT = {"steps": {"all": {"kind": "export", "formats": ["onnx", "openvino"]}}}
FORMS = ["int8", "float16", "bfloat16", "int8_weights", "int4_weights"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("formats")
    with inside(made):
        furnish(made)
    with workshop(made):
        yield made


def steps(change: dict[str, Any]) -> dict[str, Any]:
    return {"steps": {**STEPS, **change["steps"]}}


def row(made: Node, name: str) -> dict[str, Any]:
    return read_numbers(made.name)["runtimes"][name]


def test_each_is_run_in_its_own_runtime_and_compared_with_what_is_stored(folder: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    (made,) = run(folder, ["all"], steps(ASKED))
    stored, told = read_predictions(made), read_numbers(made.name)
    assert [*told["runtimes"]] == ["onnx", "openvino", "torch"] == [*told["cost"]["runtimes_ms"]]
    assert row(made, "onnx") == {
        "precision": "float32",
        "bytes": made.weights.stat().st_size,
        "agreement": 1.0,
        "maximal_difference": 0.0,
        "drop": 0.0,
    }
    y_N = prepared.read(DATA).test.labels
    for name in ("openvino", "torch"):
        own = load_file(made.folder / name / "predictions" / "logits.safetensors")
        for split, z_NC in stored.items():
            torch.testing.assert_close(own[split], z_NC, rtol=0, atol=1e-4)
        found, apart = row(made, name), (own["test"] - stored["test"]).abs().max().item()
        assert found["maximal_difference"] == pytest.approx(apart) and found["precision"] == "float32"
        same = (own["test"].argmax(1) == stored["test"].argmax(1)).double().mean().item()
        right = [float((z_NC.argmax(1).numpy() == y_N).mean()) for z_NC in (stored["test"], own["test"])]
        assert (found["agreement"], found["drop"]) == (pytest.approx(same), pytest.approx(right[0] - right[1]))
        assert found["bytes"] == sum(each.stat().st_size for each in (made.folder / name).iterdir() if each.is_file())
    card = (made.folder / "MODEL_CARD.md").read_text()
    assert "| openvino | openvino/model.xml | float32 |" in card and "`openvino.compile_model(" in card
    assert "| torch | torch/model.pt2 | float32 |" in card and "`torch.export.load(" in card


@pytest.mark.parametrize("form", FORMS)
def test_a_quantised_file_says_its_precision_and_openvino_runs_it(folder: Path, form: str) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    _, made = run(folder, [form, "all"], steps(WITHOUT))
    found = row(made, "openvino")
    assert row(made, "onnx")["precision"] == precision(made.weights) == form == found["precision"]
    assert found["agreement"] > 0.9 and (made.folder / "openvino" / "model.bin").stat().st_size > 0


def test_what_is_not_installed_is_named_as_not_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    (made,) = run(folder, ["all"], steps(ASKED))
    why = "OpenVINO is not installed: `pip install -e '.[openvino]'`"
    assert row(made, "openvino") == {"not_run": why} and row(made, "torch")["agreement"] == 1.0
    assert f"openvino: not run, {why}\n" in capsys.readouterr().out
    assert not (made.folder / "openvino").exists()
    assert "| openvino | not run: OpenVINO is not installed" in (made.folder / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize("where", ["write", "opened"])
def test_what_fails_there_is_named_as_not_run(folder: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("no such operation\nin this runtime")

    monkeypatch.setattr(of_torch, where, fail)
    (made,) = run(folder, ["program"])
    assert row(made, "torch") == {"not_run": "ZeroDivisionError: no such operation in this runtime"}
    assert not (made.folder / "torch").exists() and made.provides == ("weights", "predictions")


def test_logits_that_are_not_finite_are_named_as_not_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = of_torch.opened

    def overflown(own: Path, threads: int | None) -> Answer:
        answer = opened(own, threads)
        return lambda x_BCHW: answer(x_BCHW) * np.float32(np.inf)

    monkeypatch.setattr(of_torch, "opened", overflown)
    (made,) = run(folder, ["program"])
    assert row(made, "torch") == {"not_run": "its logits are not finite there"}
    assert not (made.folder / "torch").exists() and made.provides == ("weights", "predictions")


def test_a_quantised_file_is_no_network_in_torch(tmp_path: Path) -> None:
    original: Any = None
    with pytest.raises(NotRun, match="is no network in torch"):
        of_torch.write(Original(tmp_path, original, None), tmp_path)


def test_openvino_has_the_card_and_a_fixed_batch_and_equal_bytes(folder: Path, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")
    (made,) = run(folder, ["all"], steps(WITHOUT))
    model = openvino.Core().read_model(made.folder / "openvino" / "model.xml")
    size = Runtime(made.weights).card.size
    assert [*model.input("pixels").shape] == [1, 1, size, size]
    card = read_onnx(made.weights)[1]
    assert model.get_rt_info(["framework", "cohobate.classes"]).astype(str) == card.properties()["cohobate.classes"]
    of_openvino.write(Original(made.weights, card, None), tmp_path)
    for name in ("model.xml", "model.bin"):
        assert (tmp_path / name).read_bytes() == (made.folder / "openvino" / name).read_bytes()


def test_what_is_compared_is_of_the_test_images() -> None:
    stored_NC, own_NC = torch.eye(4), torch.eye(4)[[0, 1, 3, 3]]
    assert rows._compared(own_NC, stored_NC, np.arange(4)) == {
        "agreement": 0.75,
        "maximal_difference": 1.0,
        "drop": 0.25,
    }
    none = torch.zeros(0, 3)
    assert rows._compared(none, none, np.zeros(0, np.int64)) == {
        "agreement": 1.0,
        "maximal_difference": 0.0,
        "drop": 0.0,
    }
