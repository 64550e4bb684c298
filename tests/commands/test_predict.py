"""Image files to classes, by the exported file alone."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("onnxscript", reason="export needs the packages onnx, onnxscript and onnxruntime")
pytest.importorskip("onnxruntime", reason="running a model needs the package onnxruntime")

from pipeline.base.errors import UserError
from pipeline.commands.predict import Prediction, Unreadable, classify
from pipeline.compression.card import Card
from pipeline.compression.export_onnx import export
from pipeline.compression.runtime import Runtime
from pipeline.models.build import build
from tests.compression.ships import exported
from tests.scratch import ROOT

# Nobody writes into the pipe, and the device has no end.
SPECIAL = {
    "a named pipe": os.mkfifo,
    "a socket": lambda path: os.mknod(path, stat.S_IFSOCK),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link that leads nowhere": lambda path: path.symlink_to("nowhere"),
}
GREY = Card(classes=("cat", "dog", "eel"), mean=(0.5,), std=(0.3,), channels=1, size=8)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path = tmp_path_factory.mktemp("shipped") / "model.onnx"
    torch.manual_seed(0)
    model = build({"family": "plain", "widths": [4]}, channels=1, size=8, classes=3)
    model.get_parameter("linear.weight").data.mul_(9)
    model.get_parameter("linear.bias").data.zero_().sub_(model.get_parameter("linear.weight").data.sum(1) / 3)
    export(model.eval(), path, GREY)
    return Runtime(path)


def pictures(folder: Path, count: int) -> np.ndarray:
    """Grey pictures, uint8 (N, 1, 8, 8), and their files."""
    # Bright and dark ones, so that not all are of one class.
    images_N1HW = np.random.default_rng(0).integers(0, 256, (count, 1, 8, 8), np.uint8)
    images_N1HW[::2] //= 9
    folder.mkdir(parents=True)
    for number, image in enumerate(images_N1HW):
        Image.fromarray(image[0]).save(folder / f"{number:03}.png")
    return images_N1HW


def test_a_folder_is_classified_in_order_whatever_the_batch(runtime: Runtime, tmp_path: Path):
    images_N1HW = pictures(tmp_path / "in" / "deep", 70)
    (tmp_path / "in" / ".hidden.png").write_bytes(b"")
    (tmp_path / "in" / "notes.txt").write_bytes(b"")
    found = list(classify(runtime, [tmp_path / "in"]))
    logits = runtime.logits(images_N1HW)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert [each.path.name for each in found] == [f"{number:03}.png" for number in range(70)]
    for each, share in zip(found, shares, strict=True):
        assert isinstance(each, Prediction)
        assert each.name == GREY.classes[share.argmax()]
        assert each.probability == pytest.approx(share.max(), rel=1e-5)
    assert len({each.name for each in found if isinstance(each, Prediction)}) > 1


def test_a_corrupt_image_is_named_and_skipped(runtime: Runtime, tmp_path: Path):
    pictures(tmp_path / "in", 3)
    whole = (tmp_path / "in" / "001.png").read_bytes()
    (tmp_path / "in" / "001.png").write_bytes(whole[:-30])
    (tmp_path / "in" / "002.png").write_bytes(b"no picture")
    (tmp_path / "in" / "003.png").write_bytes(whole)
    found = list(classify(runtime, [tmp_path / "in"]))
    assert [type(each) for each in found] == [Prediction, Unreadable, Unreadable, Prediction]
    assert all(each.reason for each in found if isinstance(each, Unreadable))


@pytest.mark.parametrize("spoil", SPECIAL)
def test_what_is_no_file_is_named_skipped_and_not_waited_for(runtime: Runtime, tmp_path: Path, spoil: str):
    pictures(tmp_path / "in", 2)
    SPECIAL[spoil](tmp_path / "in" / "000b.png")
    for named in ([tmp_path / "in"], [*sorted((tmp_path / "in").iterdir())]):
        found = list(classify(runtime, named))
        assert [type(each) for each in found] == [Prediction, Unreadable, Prediction]
        assert [each.reason for each in found if isinstance(each, Unreadable)] == [f"it is {spoil}"]


@pytest.mark.parametrize("spoil", [*SPECIAL, "a folder"])
def test_a_model_that_is_no_file_is_one_sentence(tmp_path: Path, spoil: str):
    path = tmp_path / "model.onnx"
    SPECIAL.get(spoil, Path.mkdir)(path)
    command = [sys.executable, "-m", "pipeline", "predict", "--model", str(path), str(tmp_path / "a.png")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {path} is {spoil}: name a file\n")


def test_colour_and_size_are_made_to_fit(runtime: Runtime, tmp_path: Path):
    Image.new("RGB", (30, 20), (10, 200, 30)).save(tmp_path / "a.jpg")
    (found,) = classify(runtime, [tmp_path / "a.jpg"])
    assert isinstance(found, Prediction)


def test_paths_that_hold_nothing_are_refused(runtime: Runtime, tmp_path: Path):
    with pytest.raises(UserError, match="absent does not exist"):
        list(classify(runtime, [tmp_path / "absent"]))
    with pytest.raises(UserError, match="has no images"):
        list(classify(runtime, [tmp_path]))


def test_a_model_of_two_channels_takes_no_files(tmp_path: Path):
    (tmp_path / "model.onnx").write_bytes(exported())
    with pytest.raises(UserError, match="images of 2 channels"):
        list(classify(Runtime(tmp_path / "model.onnx"), [tmp_path]))
