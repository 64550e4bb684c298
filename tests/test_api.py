"""The API: what it gives is what the stages wrote, labels lie beside the very views, and docs/api.md runs."""

import contextlib
import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.api import Run, UserError
from pipeline.base.files import read_json
from pipeline.commands.predict import Prediction
from pipeline.config.input import Input
from pipeline.data.views import normalise
from pipeline.evaluation.metrics import accuracy
from tests.scratch import ROOT, Scratch

PAGE = ROOT / "docs" / "api.md"


@pytest.fixture(scope="module")
def run(lineage: Scratch) -> Run:
    return Run(lineage.folder)


def test_nodes_have_their_figures_curves_and_answers(run: Run) -> None:
    assert {"teacher", "student", "assistant/t1", "compress/c5", "refined"} <= {*run.nodes}
    for name in ("teacher", "refinery/g1"):
        figures = run.metrics(name)
        own = read_json(run.folder / "metrics" / f"{name}.json")
        assert figures == {key: value for key, value in own.items() if key != "seal"}
        for split, logits_NC in run.predictions(name).items():
            y_N = torch.from_numpy(getattr(run.data, split).labels.copy())
            assert accuracy(logits_NC, y_N) == figures[split]["accuracy"]
        curve = run.curve(name)
        assert len({len(column) for column in curve.values()}) == 1 and curve["epoch"][0] == 1
    carried = next(node for node in run.nodes.values() if node.status == "carried")
    assert run.metrics(carried.name) == run.metrics(str(carried.origin))


@pytest.mark.parametrize("view", [0, 1, 2])
def test_the_views_of_soft_labels_are_those_that_the_network_answered(run: Run, view: int) -> None:
    labels, network = run.labels("teacher"), run.network("teacher")
    assert len(labels) > 2
    rows_B = np.array([3, 0, 11])
    shown_BCHW = torch.from_numpy(labels.images(view, rows_B))
    input = run.node("teacher").input or Input(run.data.size, run.data.mean, run.data.std)
    mean_C, std_C = torch.tensor(input.mean), torch.tensor(input.std)
    with torch.no_grad():
        found_BC = network(normalise(255 * shown_BCHW, mean_C, std_C))
    torch.testing.assert_close(found_BC, labels.logits(view, rows_B), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(labels.logits(view)[rows_B], labels.logits(view, rows_B))
    assert (labels.images(view)[rows_B] == shown_BCHW.numpy()).all()


def test_image_files_are_answered_by_what_ships(run: Run, tmp_path: Path) -> None:
    Image.fromarray(np.asarray(run.data.test.images[0])[0]).save(tmp_path / "a.png")
    (found,) = run.predict([tmp_path / "a.png"])
    (same,) = run.predict(str(tmp_path), model=run.node("compress/c5").weights)
    assert isinstance(found, Prediction) and found == same
    (shown,) = run.predictions("compress/c5")["test"][:1].argmax(1).tolist()
    assert found.name == run.data.classes[shown]


def test_it_stands_in_no_folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run.network("student")(torch.zeros(1, run.data.channels, run.data.size, run.data.size)).shape == (1, 10)
    assert run.labels("teacher").logits(0).shape == (len(run.data.train), 10)


def test_what_is_not_there_is_one_sentence(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no artifacts: name the folder with dvc\.yaml"):
        Run(tmp_path)
    with pytest.raises(UserError, match=r"unknown node 'studnt', did you mean 'student'\?"):
        run.metrics("studnt")
    with pytest.raises(UserError, match=r"ensemble has no weights \(computed, it provides predictions"):
        run.network("ensemble")
    with pytest.raises(UserError, match=r"compress/c5 is no torch network \(onnx\)"):
        run.network("compress/c5")
    with pytest.raises(UserError, match=r"compress/c5 has no labels"):
        run.labels("compress/c5")
    soft = run.labels("teacher")
    for view in (-1, len(soft)):
        with pytest.raises(UserError, match=rf"view {view} was asked for, and labels are of 0 to {len(soft) - 1}"):
            soft.images(view)
    skipped = next(name for name, node in run.nodes.items() if node.status == "skipped")
    for read in (run.metrics, run.curve, run.predictions):
        with pytest.raises(UserError, match=r"is switched off in params\.yaml \(skipped\)"):
            read(skipped)


def test_a_network_of_an_own_module_is_built_where_that_lies(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    own = replace(run.node("teacher"), architecture={"family": "own", "module": "networks.py", "build": "teacher"})
    monkeypatch.setitem(run.nodes, "teacher", own)
    with pytest.raises(UserError, match=r"teacher is built by a module of .*: change to that folder first"):
        run.network("teacher")


def test_figures_are_read_without_torch(lineage: Scratch) -> None:
    code = "import sys; from pipeline.api import Run; print(Run().metrics('student')['test']['accuracy'] > 0)"
    code += "; print('torch' in sys.modules)"
    there = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run([sys.executable, "-c", code], cwd=lineage.folder, env=there, capture_output=True, text=True)
    assert said.stdout.split() == ["True", "False"], said.stderr


def test_what_the_page_shows_runs(lineage: Scratch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(lineage.folder)
    image = tmp_path / "a.png"
    Image.new("L", (8, 8), 90).save(image)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) > 3
    names: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        for block in blocks:
            exec(block.replace('"images"', repr(str(image))), names)
    assert len(said.getvalue().splitlines()) > 5
