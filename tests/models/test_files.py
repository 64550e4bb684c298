"""Weights on disk: the same bytes for the same weights, and a sentence for every file that does not fit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.models.build import build
from pipeline.models.files import load_weights, save_weights

ARCHITECTURE = {"family": "residual", "width": 4}


def net(seed: int = 0, *, channels: int = 1, classes: int = 10, width: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    return build({**ARCHITECTURE, "width": width}, channels=channels, size=8, classes=classes)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_what_is_saved_is_loaded(tmp_path: Path):
    model = net()
    model(torch.randn(4, 1, 8, 8))
    save_weights(model, tmp_path / "model.safetensors")
    other = net(1)
    assert not same(other.state_dict(), model.state_dict())
    load_weights(other, tmp_path / "model.safetensors", "the teacher's weights")
    assert same(other.state_dict(), model.state_dict())


def test_equal_weights_give_equal_bytes_whatever_their_layout(tmp_path: Path):
    model = net()
    save_weights(model, tmp_path / "a")
    save_weights(net().to(memory_format=torch.channels_last), tmp_path / "b")  # pyright: ignore[reportCallIssue]
    save_weights(net(1), tmp_path / "c")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_a_file_without_the_counters_of_batch_norm_is_taken(tmp_path: Path):
    model = net()
    path = tmp_path / "imported.safetensors"
    kept = {key: x for key, x in model.state_dict().items() if "num_batches_tracked" not in key}
    assert len(kept) < len(model.state_dict())
    save_file(kept, path)
    other = net(1)
    load_weights(other, path, "the teacher's weights")
    assert same(other.state_dict(), model.state_dict())


def test_half_precision_weights_are_widened(tmp_path: Path):
    model = net().half()
    save_weights(model, tmp_path / "model.safetensors")
    other = net(1)
    load_weights(other, tmp_path / "model.safetensors", "the teacher's weights")
    assert all(parameter.dtype == torch.float32 for parameter in other.parameters())
    assert same({k: v.half() for k, v in other.named_parameters()}, dict(model.named_parameters()))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (net(classes=5), r"was trained for 10 classes, the data has 5: see 'linear\.weight'"),
        (net(width=8), r"holds 'stem\.0\.weight' of shape \(4, 1, 3, 3\), where .* expect \(8, 1, 3, 3\)"),
        (net(channels=3), r"'stem\.0\.weight' of shape \(4, 1, 3, 3\), where .* expect \(4, 3, 3, 3\)"),
        (
            build({**ARCHITECTURE, "depth": 14}, channels=1, size=8, classes=10),
            r"lacks 'stage1\.1\.body\.0\.weight' of shape \(4, 4, 3, 3\)",
        ),
        (nn.Sequential(), r"holds '.*', which this architecture does not have"),
    ],
)
def test_weights_of_another_network_are_refused_and_nothing_is_changed(tmp_path: Path, other, message):
    path = tmp_path / "model.safetensors"
    save_weights(net(), path)
    before = {key: value.clone() for key, value in other.state_dict().items()}
    with pytest.raises(UserError, match=r"^the teacher's weights \(.*model\.safetensors\) .*" + message):
        load_weights(other, path, "the teacher's weights")
    assert same(other.state_dict(), before)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"absent\.safetensors\) is missing"):
        load_weights(net(), tmp_path / "absent.safetensors", "the teacher's weights")


@pytest.mark.parametrize("damage", [lambda b: b[:-8], lambda b: b"", lambda b: b"\xff" * 64, lambda b: b[:100]])
def test_a_damaged_file_is_named(tmp_path: Path, damage):
    path = tmp_path / "model.safetensors"
    save_weights(net(), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"model\.safetensors\) is not a whole safetensors file"):
        load_weights(net(), path, "the teacher's weights")


def test_a_folder_is_no_file(tmp_path: Path):
    with pytest.raises(UserError, match="is not a whole safetensors file"):
        load_weights(net(), tmp_path, "the teacher's weights")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch):
    path = tmp_path / "model.safetensors"
    save_weights(net(), path)
    before = load_file(path)

    def fail(file: Path, content: bytes):
        with file.open("wb") as half:
            half.write(content[:9])
        raise OSError(28, "disk full")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        save_weights(net(1), path)
    assert same(load_file(path), before)
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("key", ["stem.0.weight", "stem.1.running_var"])
def test_a_single_weight_that_is_no_number_is_refused(tmp_path: Path, key: str, value: float):
    broken = net()
    broken.state_dict()[key].flatten()[0] = value
    save_weights(broken, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=f"holds numbers in '{key}' that are not finite"):
        load_weights(net(), tmp_path / "w.safetensors", "the weights")
