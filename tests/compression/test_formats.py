"""Files for other runtimes: each answers in its own as the one that ships, or is named as not run."""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.commands import predict
from pipeline.compression import costs
from pipeline.compression.formats import of_litert, of_ncnn, of_openvino, of_torch, rows
from pipeline.compression.formats.original import Answer, NotRun, Original
from pipeline.compression.onnx_file import precision, read_onnx
from pipeline.compression.runtime import Runtime
from pipeline.compression.steps import export
from pipeline.data import prepared
from pipeline.lineage import node
from pipeline.lineage.node import Node, read_numbers
from pipeline.lineage.predictions import read_predictions
from pipeline.training.learn import load
from stages.__main__ import compress
from tests.compression.chains import STEPS, run, workshop
from tests.training.runs import furnish, inside

FROM_NETWORK = ("ncnn", "litert", "torch")
ASKED = {"steps": {"all": {"kind": "export", "formats": ["onnx", "openvino", "ncnn", "torch"]}}}
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
    pytest.importorskip("ncnn", reason="ncnn is not installed")
    _, made = run(folder, ["small", "all"], steps(ASKED))
    stored, told = read_predictions(made), read_numbers(made.name)
    assert [*told["runtimes"]] == ["ncnn", "onnx", "openvino", "torch"] == [*told["cost"]["runtimes_ms"]]
    assert row(made, "onnx") == {
        "precision": "float32",
        "bytes": made.weights.stat().st_size,
        "agreement": 1.0,
        "maximal_difference": 0.0,
        "drop": 0.0,
    }
    y_N = prepared.read(DATA).test.labels
    for name in ("openvino", "ncnn", "torch"):
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
    assert "| ncnn | ncnn/model.param | float32 |" in card and "`net = ncnn.Net()`" in card
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


def test_what_others_are_made_of_lies_beside_a_quantised_file(folder: Path) -> None:
    pytest.importorskip("ncnn", reason="ncnn is not installed")
    asked = {"steps": {"all": {"kind": "export", "formats": ["onnx", "ncnn", "torch"]}}}
    small, quantised, made = run(folder, ["small", "int8_weights", "all"], steps(asked))
    kept = node.read(f"{quantised.name}/float")
    assert kept.hashes["weights"] == small.hashes["weights"] and kept.weights.read_bytes() == small.weights.read_bytes()
    assert kept.provides == ("weights",) and not (made.folder / "float").exists()
    for name in ("ncnn", "torch"):
        assert row(made, name)["precision"] == "float32" and row(made, "onnx")["precision"] == "int8_weights"
        own = load_file(made.folder / name / "predictions" / "logits.safetensors")
        for split, z_NC in read_predictions(small).items():
            torch.testing.assert_close(own[split], z_NC, rtol=0, atol=1e-4)


def test_a_float_network_that_is_damaged_is_refused(folder: Path) -> None:
    asked = {"steps": {"all": {"kind": "export", "formats": ["onnx", "torch"]}}}
    quantised, made = run(folder, ["int8_weights", "all"], steps(asked))
    kept = node.read(f"{quantised.name}/float").weights
    content = kept.read_bytes()
    kept.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match=rf"^{kept} is damaged"):
        compress(made.name.rpartition("/")[2])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"formats": ["openvino"]}, ".formats begins with onnx, whose answers are stored"),
        ({"formats": ["onnx", "ncnn", "ncnn"]}, ".formats names ncnn twice: name it once"),
        ({"formats": ["onnx", "litert"]}, None),
        ({"formats": ["onnx", "litert"], "litert": {"python": "python"}}, None),
        ({"formats": ["onnx", "litert"], "litert": {}}, ".litert names no interpreter: write {python: path}, or null"),
        ({"litert": {"python": "python"}}, ".litert has no effect where formats is [onnx]: add litert there, or leave"),
        ({"abstain": {}}, ".abstain names no error: write {error: 0.02}"),
    ],
)
def test_settings_of_export_that_do_not_fit_are_refused(change: dict[str, Any], said: str | None) -> None:
    found = export.check({"formats": ["onnx"], "litert": None, "abstain": None, **change})
    assert found is None if said is None else found is not None and found.startswith(said)


@pytest.mark.parametrize("name", FROM_NETWORK)
def test_without_a_network_in_torch_it_is_not_run(tmp_path: Path, name: str) -> None:
    card: Any = None
    with pytest.raises(NotRun, match=r"there is no network in torch$"):
        rows._format(name).write(Original(tmp_path, card, None), tmp_path)


def test_ncnn_has_the_card_beside_it_and_equal_bytes(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("ncnn", reason="ncnn is not installed")
    asked = {"steps": {"all": {"kind": "export", "formats": ["onnx", "ncnn"]}}}
    before, made = run(folder, ["small", "all"], steps(asked))
    card = read_onnx(made.weights)[1]
    assert files.read_json(made.folder / "ncnn" / "card.json") == dict(card.properties())
    of_ncnn.write(Original(made.weights, card, lambda: load(before, costs.CPU)), tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["card.json", "model.bin", "model.param"]
    for name in ("model.param", "model.bin"):
        assert (tmp_path / name).read_bytes() == (made.folder / "ncnn" / name).read_bytes()


@pytest.mark.parametrize("name", ["openvino", "ncnn"])
def test_predict_answers_by_it(folder: Path, tmp_path: Path, name: str) -> None:
    pytest.importorskip(name, reason=f"{name} is not installed")
    asked = {"steps": {"all": {"kind": "export", "formats": ["onnx", name], "examples": 5}}}
    _, made = run(folder, ["small", "all"], steps(asked))
    images = sorted((made.folder / "examples").glob("*.png"))
    first, other = predict.opened(made.weights), predict.opened(made.folder / name / rows._format(name).NAME)
    assert other.card == first.card and other.card.temperature is not None
    found, wanted = [[*predict.classify(each, images)] for each in (other, first)]
    assert len(found) == 5
    for own, its in zip(found, wanted, strict=True):
        assert isinstance(own, predict.Prediction) and isinstance(its, predict.Prediction)
        assert (own.path, own.name) == (its.path, its.name) and own.probability == pytest.approx(
            its.probability, abs=1e-4
        )


def test_what_predict_cannot_open_is_said(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    _, made = run(folder, ["small", "all"], steps(ASKED))
    with pytest.raises(UserError, match=r"torch/model\.pt2 is a program of torch\.export, which may run code"):
        predict.opened(made.folder / "torch" / "model.pt2")
    shutil.copytree(made.folder, tmp_path / "copied")
    file = tmp_path / "copied" / "openvino" / "model.xml"
    file.rename(file.with_name("net.xml"))
    with pytest.raises(UserError, match=r"net\.xml has not the name that export gave it: model\.xml, "):
        predict.opened(file.with_name("net.xml"))
    with pytest.raises(UserError, match=r"model\.xml is missing: name a file that export wrote$"):
        predict.opened(file)
    file.write_text("<net>")
    with pytest.raises(UserError, match=r"model\.xml is no model that its runtime can run \(RuntimeError: "):
        predict.opened(file)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UserError, match=r"model\.xml: OpenVINO is not installed: "):
        predict.opened(file)


class Odd(nn.Module):
    """Its answer needs an operation that ncnn does not have."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return torch.cumprod(x_BCHW.flatten(1), 1).sort(1).values[:, :3]


def test_what_ncnn_does_not_have_is_named(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("ncnn", reason="ncnn is not installed")
    (made,) = run(folder, ["export"])
    of_ncnn.write(Original(made.weights, read_onnx(made.weights)[1], Odd), tmp_path)
    with pytest.raises(NotRun, match=r"^ncnn does not load it: it has no .*torch\.cumprod"):
        of_ncnn.opened(tmp_path, 1)


def test_what_cannot_be_converted_is_not_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ncnn", reason="ncnn is not installed")
    (made,) = run(folder, ["export"])
    program = tmp_path / "pnnx"
    program.write_text("#!/bin/sh\necho no such thing >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr("pnnx.EXEC_PATH", str(program))
    with pytest.raises(NotRun, match=r"^pnnx cannot convert it \(exit status 3\): no such thing$"):
        of_ncnn.write(Original(made.weights, read_onnx(made.weights)[1], Odd), tmp_path)


def test_litert_asks_for_its_interpreter(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    (made,) = run(folder, ["export"])
    original = Original(made.weights, read_onnx(made.weights)[1], Odd)
    with pytest.raises(NotRun, match=r"^no interpreter is named in which litert-torch is installed: export\.litert: "):
        of_litert.write(original, tmp_path)
    with pytest.raises(NotRun, match=r"cannot convert it \(exit status 1\): ModuleNotFoundError: .*'litert_torch'$"):
        of_litert.write(replace(original, litert=sys.executable), tmp_path)
    with pytest.raises(NotRun, match=r"no/python is not there: install it$"):
        of_litert.write(replace(original, litert="no/python"), tmp_path)


@pytest.mark.skipif(not os.environ.get("LITERT_PYTHON"), reason="LITERT_PYTHON names no interpreter with litert-torch")
def test_litert_answers_as_the_network(folder: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    formats = {"formats": ["onnx", "litert"], "litert": {"python": os.environ["LITERT_PYTHON"]}}
    before, _, made = run(folder, ["small", "int8", "all"], steps({"steps": {"all": {"kind": "export", **formats}}}))
    own = load_file(made.folder / "litert" / "predictions" / "logits.safetensors")
    for split, z_NC in read_predictions(before).items():
        torch.testing.assert_close(own[split], z_NC, rtol=0, atol=1e-4)
    assert row(made, "litert")["precision"] == "float32" and row(made, "onnx")["precision"] == "int8"
    assert sorted(each.name for each in (made.folder / "litert").iterdir()) == [
        "card.json",
        "model.tflite",
        "predictions",
    ]


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
