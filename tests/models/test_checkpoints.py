"""Checkpoints of others: every format gives the same tensors, and what is none is refused in one sentence."""

import argparse
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.models.checkpoints import read
from tests.test_untrusted import Payload

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2), "count": torch.tensor(3)}
AVERAGE = {key: value + 1 for key, value in STATE.items()}


def same(found: dict[str, Tensor], wanted: dict[str, Tensor] = STATE) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[key], wanted[key]) for key in wanted)


WRAPPED: dict[str, Any] = {
    "plain": STATE,
    "ordered": OrderedDict(STATE),
    "state_dict": {"state_dict": STATE, "epoch": 3},
    "model": {"model": STATE, "optimizer": {"state": {}, "param_groups": []}},
    "model_state": {"model_state": STATE},
    "module": {"module": {"state_dict": STATE}},
    "arguments": {"state_dict": STATE, "args": argparse.Namespace(lr=0.1), "arch": "net"},
}


@pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.bin", "a.pth.tar", "a.ckpt", "a.safetensors"])
@pytest.mark.parametrize("wrapped", WRAPPED)
def test_every_wrapper_gives_the_same_tensors(tmp_path: Path, wrapped: str, name: str) -> None:
    torch.save(WRAPPED[wrapped], path := tmp_path / name)
    if name == "a.safetensors":
        save_file(STATE, path)
    assert same(read(path).tensors)


def test_the_older_format_of_torch_is_read(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE}, path := tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    assert same(read(path).tensors)


def test_safetensors_by_another_name_are_known_by_their_content(tmp_path: Path) -> None:
    save_file(STATE, path := tmp_path / "a.bin")
    assert same(read(path).tensors)


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema", "ema"])
def test_the_moving_average_is_taken_where_it_is_asked_for(tmp_path: Path, key: str) -> None:
    torch.save({"state_dict": STATE, key: {"module": AVERAGE}}, path := tmp_path / "a.pth")
    plain = read(path)
    assert same(plain.tensors)
    assert f"it has a moving average of its weights, too, in {key}: --ema takes that" in plain.notes
    assert same(read(path, ema=True).tensors, AVERAGE)
    torch.save({"state_dict": STATE}, path)
    with pytest.raises(UserError, match=r"a\.pth has no moving average of its weights .*leave --ema out"):
        read(path, ema=True)


@pytest.mark.parametrize(
    "named",
    [
        {"classes": ["x", "y"]},
        {"class_to_idx": {"y": 1, "x": 0}},
        {"id2label": {1: "y", 0: "x"}},
        {"class_names": ("x", "y")},
    ],
    ids=lambda named: next(iter(named)),
)
def test_names_of_classes_are_found(tmp_path: Path, named: dict[str, Any]) -> None:
    torch.save({"state_dict": STATE, **named}, path := tmp_path / "a.pth")
    assert read(path).classes == ("x", "y")


def test_of_safetensors_they_stand_in_its_metadata(tmp_path: Path) -> None:
    save_file(STATE, path := tmp_path / "a.safetensors", {"classes": '["x", "y"]', "format": "pt"})
    assert read(path).classes == ("x", "y")
    save_file(STATE, path)
    assert read(path).classes is None


def shards(folder: Path, suffix: str) -> dict[str, str]:
    """A hub's folder of two shards; its map of tensors to files."""
    split = [dict([*STATE.items()][:1]), dict([*STATE.items()][1:])]
    where = {}
    for number, part in enumerate(split, start=1):
        name = f"model-{number}-of-2.{suffix}"
        (save_file if suffix == "safetensors" else torch.save)(part, folder / name)  # pyright: ignore[reportArgumentType]
        where |= dict.fromkeys(part, name)
    index = "model.safetensors.index.json" if suffix == "safetensors" else "pytorch_model.bin.index.json"
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return where


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_a_hubs_folder_of_shards_is_one_file(tmp_path: Path, suffix: str) -> None:
    shards(tmp_path, suffix)
    (tmp_path / "config.json").write_text(json.dumps({"label_names": ["x", "y"]}))
    found = read(tmp_path)
    assert same(found.tensors)
    assert found.classes == ("x", "y")


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_hubs_folder_of_one_file(tmp_path: Path, name: str) -> None:
    (save_file if name.endswith("s") else torch.save)(STATE, tmp_path / name)  # pyright: ignore[reportArgumentType]
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}))
    found = read(tmp_path)
    assert same(found.tensors)
    assert found.classes is None, "names that stand for none"


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder, where: (folder / "model-2-of-2.safetensors").unlink(), r"lacks model-2-of-2\.safetensors"),
        (lambda folder, where: where.update(more="model-1-of-2.safetensors"), r"holds 'more', which it does not"),
        (
            lambda folder, where: where.update(more="../a.safetensors"),
            r"'\.\./a\.safetensors', which does not lie beside",
        ),
        (lambda folder, where: where.clear(), r"has no weight_map"),
    ],
)
def test_shards_that_are_not_all_there(tmp_path: Path, spoil: Callable[[Path, Any], Any], sentence: str) -> None:
    where = shards(tmp_path, "safetensors")
    save_file(STATE, tmp_path.parent / "a.safetensors")
    spoil(tmp_path, where)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    with pytest.raises(UserError, match=sentence):
        read(tmp_path)


def test_a_folder_without_weights_says_what_it_looks_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has none of model\.safetensors, pytorch_model\.bin, "):
        read(tmp_path)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("value", "what"),
    [(nn.Linear(2, 2), r"torch\.nn\.modules\.linear\.Linear"), ({"model": nn.ReLU()}, r"torch\.nn\.modules")],
)
def test_a_whole_network_is_refused_and_the_remedy_is_named(
    tmp_path: Path, value: Any, what: str, zipped: bool
) -> None:
    torch.save(value, path := tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=rf"holds a whole Python object \({what}.*save model\.state_dict\(\)"):
        read(path)


@pytest.mark.parametrize("how", ["zip", "legacy", "protocol 0", "protocol 5", "beside weights"])
def test_code_in_a_pickle_is_not_run(tmp_path: Path, how: str) -> None:
    path, payload = tmp_path / "a.pth", Payload(tmp_path / "ran")
    if how.startswith("protocol"):
        path.write_bytes(pickle.dumps(payload, int(how[-1])))
    else:
        value = {"state_dict": STATE, "more": payload} if how == "beside weights" else payload
        torch.save(value, path, _use_new_zipfile_serialization=how != "legacy")
    with pytest.raises(UserError, match=r"a\.pth (holds a whole Python object|is no whole checkpoint)") as refused:
        read(path)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file_is_named(tmp_path: Path, name: str, keep: float, zipped: bool) -> None:
    path = tmp_path / name
    save_file(STATE, path) if name == "a.safetensors" else torch.save(
        STATE, path, _use_new_zipfile_serialization=zipped
    )
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(UserError, match=r"cut short|not a whole safetensors file") as refused:
        read(path)
    assert "\n" not in str(refused.value)


def test_an_archive_that_unpacks_to_more_than_it_is_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(10**7))
    with pytest.raises(UserError, match=r"is a packed archive, of 10000000 bytes in \d+"):
        read(path)
    # One that is not packed, and whose entry claims more than there is.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a/data.pkl", bytes(10))
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = (10**8).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"is a packed archive, of 100000000 bytes in \d+"):
        read(path)
    torch.save(STATE, path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr("a/code/net.py", "raise SystemExit")
    with pytest.raises(UserError, match="is a TorchScript program, which is not run"):
        read(path)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (torch.ones(2), r"holds a Tensor, no weights by name"),
        ({"epoch": 3, "loss": [1.0]}, r"holds no weights by name, but epoch, loss: give"),
        ({}, r"holds no weights by name, but nothing"),
    ],
)
def test_what_holds_no_weights(tmp_path: Path, value: Any, sentence: str) -> None:
    torch.save(value, path := tmp_path / "a.pth")
    with pytest.raises(UserError, match=sentence):
        read(path)


def test_what_is_not_there_and_what_is_another_kind_of_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no file or folder .*a\.pth"):
        read(tmp_path / "a.pth")
    (tmp_path / "a.onnx").touch()
    with pytest.raises(UserError, match=r"a\.onnx is an ONNX model"):
        read(tmp_path / "a.onnx")
