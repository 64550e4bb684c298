"""What the default order of steps ships: a table, and a file that classifies images without torch."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.base import files
from tests.scratch import Scratch

PREDICT = (sys.executable, "-m", "pipeline", "predict")


@pytest.fixture
def images(lineage: Scratch, tmp_path: Path) -> Path:
    """The first test images as PNGs, named by their number, and one that is none."""
    pixels_NCHW = np.load(lineage.folder / "artifacts/data/test.images.npy")
    for number, pixels_CHW in enumerate(pixels_NCHW[:20]):
        Image.fromarray(pixels_CHW[0]).save(tmp_path / f"{number:02}.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "00.png").read_bytes()[:40])
    return tmp_path


def test_images_are_classified_and_a_corrupt_one_is_named(lineage: Scratch, images: Path) -> None:
    said = lineage.run(*PREDICT, str(images), code=1).splitlines()
    found = [line.split("\t") for line in said if "\t" in line]
    assert [Path(path).name for path, _, _ in found] == [f"{number:02}.png" for number in range(20)]
    assert all(0 < float(probability) <= 1 for _, _, probability in found)
    (skipped,) = (line for line in said if "\t" not in line)
    assert "torn.png: skipped, it is no image that can be read" in skipped
    node = files.read_sealed(lineage.folder / "artifacts/compress/c7/node.json")
    assert (node["origin"], node["format"]) == ("compress/c5", "onnx")
    stored = files.read_sealed(lineage.folder / "artifacts/compress/c5/node.json")
    assert stored["hashes"] == node["hashes"]
    (images / "torn.png").unlink()
    file = lineage.folder / "artifacts/compress/c5/model.onnx"
    assert lineage.run(*PREDICT, str(images), "--model", str(file)).splitlines() == [
        line for line in said if "\t" in line
    ]


def test_classifying_needs_no_torch(lineage: Scratch, images: Path) -> None:
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['pipeline', 'predict', {str(images / '00.png')!r}]\n"
        "try: runpy.run_module('pipeline', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'dvc'} & {*sys.modules}))"
    )
    assert lineage.run(sys.executable, "-c", code).splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "error: nowhere does not exist: name an image or a folder of images"),
        (["plan"], "error: plan has no images: name a folder with files of"),
        (["plan", "--model", "no.onnx"], "error: no.onnx does not exist: name a file"),
        (["plan", "--model", "params.yaml"], "error: params.yaml is no model that onnxruntime can run"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_classified_is_one_sentence(lineage: Scratch, arguments: list[str], sentence: str) -> None:
    (said,) = lineage.run(*PREDICT, *arguments, code=1).splitlines()
    assert said.startswith(sentence)


def test_a_chain_without_a_file_ships_none(copied: Scratch) -> None:
    copied.edit({"compress": {"order": ["distil"]}})
    copied.stage("plan")
    for slot in range(2, 8):
        copied.stage("compress", f"c{slot}")
    (said,) = copied.run(*PREDICT, "params.yaml", code=1).splitlines()
    assert said.startswith("error: the compress chain ends in compress/c1, which is no ONNX file: add export to")


def test_the_table_has_a_row_a_step(lineage: Scratch) -> None:
    said = lineage.run(sys.executable, "-m", "pipeline", "summary")
    table = said[said.index("step ") :].splitlines()
    rows = [line.split() for line in table[2:] if line.strip()]
    assert rows[0][0] == "teacher"
    assert [row[:2] for row in rows[1:]] == [
        [step, f"compress/c{n}"] for n, step in enumerate(["distil", "prune", "tune", "quantise", "export"], start=1)
    ]
    summary = json.loads((lineage.folder / "metrics/summary.json").read_text())
    last = json.loads((lineage.folder / "metrics/compress/c5.json").read_text())
    assert summary["test"]["shipped"] == last["test"]["accuracy"]
    assert summary["shipped"]["bytes"] == last["bytes"]
    teacher = json.loads((lineage.folder / "metrics/teacher.json").read_text())
    assert summary["shipped"]["smaller"] == round(teacher["bytes"] / last["bytes"], 2)


@pytest.mark.long
def test_a_step_put_in_runs_what_follows_and_nothing_else(copied: Scratch, lineage: Scratch) -> None:
    copied.edit({"compress": {"order": ["distil", "prune", "quantise"]}})
    assert copied.repro() == ["plan", *(f"compress@c{n}" for n in range(3, 8)), "summary", "report"]
    assert copied.hashes("compress/c1", "compress/c2") == lineage.hashes("compress/c1", "compress/c2")
    copied.edit({"compress": {"order": ["distil", "prune", "tune", "quantise", "export"]}})
    assert copied.repro() == ["plan"]
