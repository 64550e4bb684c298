"""Image files to classes, by the exported file alone."""

import dataclasses
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("onnxscript", reason="export needs the packages onnx, onnxscript and onnxruntime")
pytest.importorskip("onnxruntime", reason="running a model needs the package onnxruntime")

import onnx

from pipeline.base import files, memory
from pipeline.base.errors import UserError
from pipeline.commands import predict
from pipeline.commands.predict import Prediction, Unreadable, classify, opened
from pipeline.compression.card import Card
from pipeline.compression.export_onnx import export
from pipeline.compression.onnx_file import add_probabilities
from pipeline.compression.runtime import Runtime
from pipeline.data.ahead import AHEAD
from pipeline.data.formats import FORMATS
from pipeline.lineage import node
from pipeline.lineage.node import Node
from pipeline.models import declared
from pipeline.models.build import build
from tests.compression.ships import convolution, exported
from tests.data.folders import HEIF
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


def test_what_a_file_is_not_sure_enough_of_is_marked(tmp_path: Path, runtime: Runtime):
    pictures(tmp_path / "in", 20)
    bare = list(classify(runtime, [tmp_path / "in"]))
    middle = sorted(each.probability for each in bare if isinstance(each, Prediction))[10]
    shipped = tmp_path / "model.onnx"
    shutil.copyfile(runtime.path, shipped)
    add_probabilities(shipped, dataclasses.replace(GREY, temperature=1.0, error=0.02, threshold=middle))
    found = list(classify(Runtime(shipped), [tmp_path / "in"]))
    for each, before in zip(found, bare, strict=True):
        assert isinstance(each, Prediction) and isinstance(before, Prediction)
        assert each.probability == before.probability and before.unsure is None
        assert each.unsure == (each.probability < middle)
        assert each.cells == (*before.cells, "unsure" if each.unsure else "sure")
        assert each.as_json == {**before.as_json, "unsure": each.unsure}
    assert 9 <= sum(each.unsure for each in found if isinstance(each, Prediction) and each.unsure) <= 11


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


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a node at the end of a compress chain."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "dvc.yaml", ".")
    with node.writing("compress/c8") as folder:
        convolution(folder / "model.onnx")
        hashes = {"weights": files.sha256(folder / "model.onnx")}
        node.write(folder, Node("compress/c8", "computed", ("weights",), format="onnx", hashes=hashes))
    return Path("artifacts/compress/c8/model.onnx")


def inverted(path: Path) -> None:
    """Invert the bytes of a weight: the file is a whole model still, which answers other classes."""
    model = onnx.load(path)
    weight = model.graph.initializer[0]
    weight.raw_data = bytes(255 - byte for byte in weight.raw_data)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("named", [False, True])
def test_a_file_that_is_not_the_recorded_one_is_refused(shipped: Path, named: bool):
    model = shipped if named else None
    opened(model)
    inverted(shipped)
    Runtime(shipped)
    with pytest.raises(
        UserError, match=r"^artifacts/compress/c8/model\.onnx is damaged \(its SHA-256 is not the recorded"
    ):
        opened(model)


def test_a_file_that_nothing_is_recorded_of_answers(shipped: Path, tmp_path: Path):
    shipped.rename(tmp_path / "other.onnx")
    opened(tmp_path / "other.onnx")
    with pytest.raises(UserError, match=r"model\.onnx is missing: run `dvc repro`"):
        opened(None)


def test_a_picture_of_a_format_that_is_not_read_is_named_and_skipped(runtime: Runtime, tmp_path: Path):
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png", "EPS")
    (found,) = classify(runtime, [tmp_path / "x.png"])
    assert isinstance(found, Unreadable)
    assert found.reason.startswith("its content is none of JPEG, PNG")


def test_each_core_answers_batches_of_its_own_and_few_of_them_ahead(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first two batches are in work at a time, and what is found comes in order."""
    count = 9 * predict.BATCH
    pictures(tmp_path / "in", count)
    both, alone, begun = threading.Barrier(2, timeout=20), threading.Event(), set[int]()

    def decode(path: Path, **settings: Any) -> np.ndarray:
        begun.add(int(path.stem) // predict.BATCH)
        if not alone.is_set():
            both.wait()
            alone.set()
        return real(path, **settings)

    real = predict.decode
    monkeypatch.setattr(predict, "decode", decode)
    monkeypatch.setattr(predict, "cores", lambda: 2)
    found = classify(runtime, [tmp_path / "in"])
    for taken in range(count):
        assert next(found).path.name == f"{taken:03}.png"
        if taken == 0:
            assert len(begun) <= 2 * AHEAD
    assert next(found, None) is None


def test_what_memory_has_no_room_for_is_not_begun(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads follow from what is free, and the batch, which decides the last bits, does not."""
    need = declared.activation_bytes(onnx.load(runtime.path), 16)
    for free, threads in ((1, 1), (2 * need, 1), (6 * need, 3), (100 * need, 8)):
        monkeypatch.setattr(memory, "free", lambda free=free: free)
        assert runtime.passes_at_once(16, 8) == threads


def test_how_fast_many_images_were_answered_is_said(
    runtime: Runtime, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures(tmp_path / "in", predict.MANY)
    (tmp_path / "in" / "torn.png").write_bytes(b"no picture")
    few = [*classify(runtime, [tmp_path / "in" / "000.png"])]
    assert predict.tell(few, as_json=False) == 0 and capsys.readouterr().err == ""
    assert predict.tell(classify(runtime, [tmp_path / "in"]), as_json=True) == 1
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == predict.MANY
    assert "torn.png: skipped" in printed.err and re.search(r"\n100 images, [\d,]+ a second\n$", printed.err)


@pytest.mark.parametrize(("told", "level"), [(None, 0), ((255, 255, 255), 255), ((10, 10, 10), 10)])
def test_what_is_transparent_shows_the_background_of_the_training(
    tmp_path: Path, told: tuple[int, int, int] | None, level: int
) -> None:
    """Files that were exported before they told it were trained on black."""
    seen = []

    class Stub:
        card = dataclasses.replace(GREY, background=told)
        images_a_pass = 1

        def passes_at_once(self, images: int, most: int) -> int:
            return images

        def probabilities(self, images_NCHW: np.ndarray, **_: object) -> np.ndarray:
            seen.append(images_NCHW)
            return np.full((len(images_NCHW), 3), 1 / 3)

    runtime: Any = Stub()
    Image.new("RGBA", (8, 8), (90, 90, 90, 0)).save(tmp_path / "x.png")
    assert len([*classify(runtime, [tmp_path / "x.png"])]) == 1
    np.testing.assert_array_equal(seen[0], level)


def test_a_folder_holds_images_of_every_format_that_is_prepared(runtime: Runtime, tmp_path: Path) -> None:
    suffixes = [suffix for kind, suffixes in FORMATS.items() if kind != "HEIF" or HEIF for suffix in suffixes]
    for suffix in suffixes:
        Image.new("RGB", (20, 30), (200, 10, 10)).save(tmp_path / f"x{suffix}")
    found = [*classify(runtime, [tmp_path])]
    assert [type(each) for each in found] == [Prediction] * len(suffixes)
    assert {each.path.suffix for each in found} == {*suffixes}
