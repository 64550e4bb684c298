"""The exported file equals torch, holds all that is needed, and nothing of this machine."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("onnxscript", reason="export needs the packages onnx, onnxscript and onnxruntime")
pytest.importorskip("onnxruntime", reason="export needs the packages onnx, onnxscript and onnxruntime")

import onnx

from pipeline.base.errors import UserError
from pipeline.compression.card import read_card
from pipeline.compression.export_onnx import NotExported, check, export, export_program
from pipeline.compression.runtime import Runtime
from tests.compression.ships import CARD, exported, images, logits, net


@pytest.mark.parametrize(
    "architecture",
    [
        {"family": "residual", "depth": 8, "width": 4},
        {"family": "wide", "depth": 10, "widen": 1},
        {"family": "plain", "depth": 4},
    ],
)
def test_the_file_equals_torch_at_any_batch_size(tmp_path: Path, architecture):
    model = net(architecture)
    (tmp_path / "model.onnx").write_bytes(exported(architecture))
    found = check(tmp_path / "model.onnx", model, images())
    assert found["maximal_difference"] < 1e-5
    assert found["agreement"] == 1
    runtime = Runtime(tmp_path / "model.onnx")
    for count in (1, 3):
        np.testing.assert_allclose(runtime.logits(images(count)), logits(model, images(count)), atol=1e-5)


def test_a_difference_is_seen(tmp_path: Path):
    (tmp_path / "model.onnx").write_bytes(exported())
    other = net()
    for parameter in other.parameters():
        parameter.data.mul_(-1.1)
    found = check(tmp_path / "model.onnx", other, images())
    assert found["maximal_difference"] > 0.1
    assert found["agreement"] < 1


@pytest.mark.long
def test_equal_weights_give_equal_bytes_and_a_model_is_left_as_it_was(tmp_path: Path):
    model = net().train()
    model.get_submodule("stem").eval()
    modes = [module.training for module in model.modules()]
    export(model, tmp_path / "model.onnx", CARD)
    for name in "ab":
        export_program(model, tmp_path / f"{name}.pt2", CARD)
    assert [module.training for module in model.modules()] == modes
    assert (tmp_path / "model.onnx").read_bytes() == exported()
    assert (tmp_path / "a.pt2").read_bytes() == (tmp_path / "b.pt2").read_bytes()
    here = [str(Path(__file__).parents[2]).encode(), str(tmp_path).encode(), str(Path(torch.__file__).parent).encode()]
    for path in tmp_path.iterdir():
        assert not any(each in path.read_bytes() for each in here)


class Branching(torch.nn.Module):
    """Decides by the values that it is given, which no graph holds."""

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        return x_BCHW.mean((2, 3)) if x_BCHW.sum() > 0 else x_BCHW.amax((2, 3))


@pytest.mark.parametrize(("write", "form"), [(export, "ONNX"), (export_program, "a program of torch.export")])
def test_a_network_that_torch_cannot_export_is_refused_in_one_sentence(tmp_path: Path, write, form):
    with pytest.raises(NotExported) as caught:
        write(Branching(), tmp_path / "file", CARD)
    sentence = str(caught.value)
    assert f"cannot write this network as {form} (" in sentence and "choose another network" in sentence
    assert "\n" not in sentence and "\x1b" not in sentence and len(sentence) < 600
    assert not [*tmp_path.iterdir()]


class Fused(torch.nn.Module):
    """As timm's attention: the same by a call that no graph holds, or by plain operations."""

    def __init__(self) -> None:
        super().__init__()
        self.fused_attn = True

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        means_BC = x_BCHW.mean((2, 3))
        return Branching()(x_BCHW) * 0 + means_BC if self.fused_attn else means_BC


def test_attention_in_one_call_that_cannot_be_exported_is_written_as_plain_operations(tmp_path: Path):
    model = torch.nn.Sequential(Fused(), torch.nn.Linear(CARD.channels, len(CARD.classes)))
    export(model, tmp_path / "model.onnx", CARD)
    assert model[0].fused_attn is True, "it is left as it was"
    assert check(tmp_path / "model.onnx", model, images())["maximal_difference"] < 1e-5


def test_a_full_disk_is_no_fault_of_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*given, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.onnx.export", full)
    with pytest.raises(OSError, match="No space"):
        export(net(), tmp_path / "file", CARD)


def test_batch_norm_is_folded_and_the_card_is_inside(tmp_path: Path):
    (tmp_path / "model.onnx").write_bytes(exported())
    model = onnx.load(tmp_path / "model.onnx")
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert [node.op_type for node in model.graph.node][:2] == ["Sub", "Div"]
    assert Runtime(tmp_path / "model.onnx").card == CARD


@pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning")  # torch's own loader
def test_the_exported_program_equals_torch(tmp_path: Path):
    model = net()
    card = dataclasses.replace(CARD, temperature=2.0)
    export_program(model, tmp_path / "model.pt2", card)
    extra = dict.fromkeys(card.properties(), "")
    program = torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    pixels = torch.from_numpy(images(7)).float() / 255
    logits_NC, probabilities_NC = (each.detach() for each in program.module()(pixels))
    np.testing.assert_allclose(logits_NC.numpy(), logits(model, images(7)), atol=1e-5)
    torch.testing.assert_close(probabilities_NC, (logits_NC / 2).softmax(1))
    assert read_card(extra, "model.pt2") == card


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("classes", '"abc', "cannot be read"),
        ("size", "0", "cannot be read"),
        ("mean", "[0.5]", "not as many means"),
        ("schema", "2", "not of schema 1"),
        ("background", "[0, 0, 256]", "cannot be read"),
        ("background", "[0, 0]", "cannot be read"),
        ("odd", "1", "cannot be read"),
    ],
)
def test_a_card_that_is_amiss_is_refused(key, value, message):
    with pytest.raises(UserError, match=rf"^here\.onnx .*{message}"):
        read_card({**CARD.properties(), f"cohobate.{key}": value}, "here.onnx")


def test_a_card_tells_its_background_and_a_file_without_one_has_none():
    told = dataclasses.replace(CARD, background=(1, 2, 3))
    assert read_card(told.properties(), "here.onnx") == told
    assert "cohobate.background" not in CARD.properties()


def test_a_file_without_a_card_is_refused():
    with pytest.raises(UserError, match="says nothing of its classes"):
        read_card({"other": "1"}, "here.onnx")
