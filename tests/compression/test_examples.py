"""Images beside a shipped file, its answers to them, and the program that compares them where it is run."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.compression.card import Card
from pipeline.compression.examples import chosen_rows, write_examples
from pipeline.compression.export_onnx import export
from pipeline.compression.runtime import Runtime
from pipeline.lineage.runtimes import PRINTED
from pipeline.models.build import build
from tests.data.pictures import stored

COUNT = 7


def shipped(folder: Path, channels: int = 3, size: int = 8, seed: int = 0) -> Path:
    """A small network as a file."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    model = build({"family": "plain", "widths": [4]}, channels=channels, size=size, classes=5).eval()
    card = Card(classes=tuple("abcde"), mean=(0.5,) * channels, std=(0.25,) * channels, channels=channels, size=size)
    export(model, folder / "model.onnx", card)
    return folder


def pictures(channels: int = 3, size: int = 8, count: int = 30) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, channels, size, size), np.uint8)


def checked(folder: Path) -> tuple[int, str]:
    """Exit status and output of the program, isolated from this package."""
    done = subprocess.run(
        [sys.executable, "-I", str(folder / "check.py")], cwd=folder, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("channels", "stored_size"), [(1, 8), (3, 8), (3, 12)])
def test_a_file_answers_as_it_did_wherever_the_folder_is_copied(
    tmp_path: Path, channels: int, stored_size: int
) -> None:
    folder = shipped(tmp_path / "made", channels)
    images = pictures(channels, stored_size)
    write_examples(folder, Runtime(folder / "model.onnx"), images, COUNT)
    there = tmp_path / "elsewhere"
    shutil.copytree(folder, there)
    status, said = checked(there)
    assert (status, said.splitlines()[:1]) == (0, [f"0 of {COUNT} images are answered differently"]), said
    assert "largest difference of a logit: 0\n" in said and " ms an image, peak memory " in said
    assert PRINTED.search(said), "as the summary reads it"
    logits_NC = np.load(folder / "examples" / "logits.npy")
    assert logits_NC.shape == (COUNT, 5) and logits_NC.dtype == np.float32
    if stored_size == 8:
        first = np.asarray(Image.open(folder / "examples" / "000.png"))
        expected = images[chosen_rows(images, 1)[0]]
        np.testing.assert_array_equal(first, expected[0] if channels == 1 else expected.transpose(1, 2, 0))
    assert "pipeline" not in (there / "check.py").read_text().replace("`pipeline`", "")


def test_another_file_or_another_answer_is_told_by_the_status(tmp_path: Path) -> None:
    folder = shipped(tmp_path / "made")
    write_examples(folder, Runtime(folder / "model.onnx"), pictures(), COUNT)
    other = shipped(tmp_path / "other", seed=1)
    shutil.copy(other / "model.onnx", folder / "model.onnx")
    status, said = checked(folder)
    assert status == 1 and not said.startswith("0 of"), said
    (folder / "examples" / "003.png").unlink()
    fewer = f"there are {COUNT - 1} images for {COUNT} rows of logits: copy the whole folder anew\n"
    assert checked(folder) == (1, fewer)


def test_nobody_picks_them_and_more_images_move_none_far(tmp_path: Path) -> None:
    images = pictures(count=40)
    some, all_rows = chosen_rows(images[:30], 5), chosen_rows(images, 40)
    assert [row for row in all_rows if row < 30][:5] == some.tolist() and sorted(some.tolist()) != list(range(5))
    encoded = stored(tmp_path / "shards", [(20, 16)] * 12, 8)
    assert sorted(chosen_rows(encoded, 12)) == list(range(12)) != chosen_rows(encoded, 12).tolist()
    assert len(chosen_rows(images[:3], 20)) == 3


def test_encoded_images_are_written_as_the_network_is_shown_them(tmp_path: Path) -> None:
    folder, images = shipped(tmp_path / "made"), stored(tmp_path / "shards", [(20, 16)] * 12, 8)
    write_examples(folder, Runtime(folder / "model.onnx"), images, 4)
    for number, row in enumerate(chosen_rows(images, 4).tolist()):
        shown = np.asarray(Image.open(folder / "examples" / f"{number:03}.png")).transpose(2, 0, 1)
        np.testing.assert_array_equal(shown, images[row])
    assert checked(folder)[0] == 0
