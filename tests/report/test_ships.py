"""What the report says of the file that ships, and that it stays light with many classes, images and networks."""

import base64
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.data import prepared
from pipeline.data.encoded import EncodedImages
from pipeline.data.prepared import Prepared, Split
from pipeline.lineage import node
from pipeline.lineage.node import EMPTY_CURVE, Node
from pipeline.lineage.predictions import write_predictions
from pipeline.planning.specs.readers import ReportSpec
from pipeline.planning.specs.spec import read_spec
from pipeline.report import run as run_module
from pipeline.report import ships
from pipeline.report.page import render
from pipeline.report.png import photo_uri
from pipeline.report.run import Reported
from tests.data.pictures import stored
from tests.report.pages import parse
from tests.scratch import Scratch


@pytest.fixture
def run(lineage: Scratch, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reported]:
    monkeypatch.chdir(lineage.folder)
    yield Reported(read_spec("report", ReportSpec))


def test_it_is_the_last_file_beside_the_teacher(run: Reported) -> None:
    assert run.shipped is not None and run.shipped.name == "compress/c5"
    found = ships.section(run)
    assert found is not None
    teacher_N, file_N, y_N = run.guesses("teacher"), run.guesses("compress/c5"), run.y_N
    lost_N = (teacher_N == y_N) & (file_N != y_N)
    won = int(((teacher_N != y_N) & (file_N == y_N)).sum())
    assert f"{lost_N.sum():,} are right for the teacher alone and {won:,} for the file" in found.lead
    assert found.values["wrong"] == int((file_N != y_N).sum())
    (_, lost, count), (_, wrong, others) = found.values["kinds"]
    assert count == lost_N.sum() and count + others == (file_N != y_N).sum()
    assert {each.number for each in lost} <= {*np.flatnonzero(lost_N).tolist()}
    for photos in (lost, wrong):
        assert [each.sure for each in photos] == sorted((each.sure for each in photos), reverse=True)
    for each in (*lost, *wrong):
        assert each.second == run.classes[file_N[each.number]] != each.true == run.classes[y_N[each.number]]
    assert found.values["promises"][0].startswith("Probabilities are softmax(logits / ")


def test_sureness_is_that_of_the_file(run: Reported) -> None:
    found = ships.section(run)
    assert found is not None and run.shipped is not None
    degree = run.shipped.metrics["promises"]["temperature"]
    z_NC = torch.from_numpy(run.logits(run.shipped)) / degree
    for _, photos, _ in found.values["kinds"]:
        for each in photos:
            assert each.sure == pytest.approx(float(z_NC[each.number].softmax(0).max()))


def test_of_many_answers_only_two_networks_are_read(run: Reported, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = parse(render(run))
    monkeypatch.setattr(run_module, "LOGITS", 1)
    few = Reported(run.spec)
    assert [entry.name for entry in few.by_image] == ["teacher", "compress/c5"]
    read: set[str] = set()
    real = few.logits
    monkeypatch.setattr(few, "logits", lambda entry: read.add(entry.name) or real(entry))
    page = parse(render(few))
    assert page.faults == []
    assert read | {*few._guesses} == {"teacher", "compress/c5"}
    there = [each["id"] for each in page.all("section")]
    assert {each["id"] for each in whole.all("section")} - {*there} == {"classes"}
    assert "as if on different images" in page.text and "as if on different images" not in whole.text


def test_photographs_are_shown_whole(tmp_path: Path) -> None:
    images = stored(tmp_path / "store", [(400, 300), (30, 60)], 24)
    assert isinstance(images, EncodedImages)
    for row, size in enumerate([(192, 144), (30, 60)]):
        found = photo_uri(images, row)
        assert found.startswith("data:image/jpeg;base64,")
        (path := tmp_path / "a.jpg").write_bytes(base64.b64decode(found.partition(",")[2]))
        with Image.open(path) as picture:
            assert picture.size == size
    pixels = np.zeros((2, 1, 8, 8), np.uint8)
    assert photo_uri(pixels, 1).startswith("data:image/png;base64,")


def many(classes: int, count: int, nodes: int) -> Reported:
    """A run in the current folder of that many classes, test images and networks; only two have answers there."""
    draw = np.random.default_rng(0)
    names = tuple(f"a species of bird whose name is long, number {c}" for c in range(classes))
    pixels = draw.integers(0, 256, (count, 3, 16, 16), np.uint8)
    y_N = np.arange(count) % classes
    split = Split(pixels, y_N)
    few = Split(pixels[:classes], y_N[:classes])
    data = Prepared(few, few, split, few.labels, names, (0.5,) * 3, (0.2,) * 3, 3, 16, "0" * 64)
    score = {"accuracy": 0.8, "nll": 0.7, "ece": 0.05, "brier": 0.3, "balanced_accuracy": 0.8, "macro_f1": 0.8}
    all_names = ["teacher", "student", "baseline", *(f"method/m{n}" for n in range(nodes - 4)), "compress/c1"]
    for name in all_names:
        metrics: dict[str, Any] = {
            "status": "trained",
            "parameters": 10**6,
            "flops": 10**8,
            "bytes": 4 * 10**6,
            "validation": score,
            "test": score,
            "teacher": {"agreement": 0.9, "kl": 0.1},
            "cost": {"training_seconds": 10.0, "timed_on": "cpu", "latency": {}, "peak_memory_bytes": 10**8},
        }
        if name == "compress/c1":
            metrics |= {"step": "export", "kind": "export", "compressed_bytes": 10**6, "nonzeros": 10**6}
        hashes = {"predictions": "0" * 64, "weights": "0" * 64}
        with node.writing(name) as folder:
            if name in ("teacher", "compress/c1"):
                z_NC = torch.from_numpy(draw.normal(size=(count, classes)).astype(np.float32))
                z_NC[torch.arange(count), torch.from_numpy(y_N)] += 4
                hashes["predictions"] = write_predictions(folder, {"validation": z_NC[:1].clone(), "test": z_NC})
            form = "onnx" if name == "compress/c1" else "safetensors"
            of = [] if name == "teacher" else [{"teacher": "teacher", "read": "labels", "hash": "0" * 64}]
            node.write(
                folder,
                Node(name, "trained", ("predictions",), form, {"family": "plain"}, tuple(of), ((name, 0.8),), hashes),
            )
        node.write_numbers(name, metrics, EMPTY_CURVE)
    spec = ReportSpec(
        node="report",
        nodes=tuple(all_names),
        chains={},
        source="birds",
        seeds={"data": 0},
        views={},
        views_seed=0,
        templates={},
        code={},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepared, "read", lambda folder: data)
        return Reported(spec)


@pytest.mark.parametrize(
    ("classes", "count", "nodes"),
    [(10, 1000, 6), (100, 2000, 60), pytest.param(1000, 50_000, 60, marks=pytest.mark.long)],
)
def test_it_stays_light_and_quick(
    classes: int, count: int, nodes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_module, "LOGITS", 1)
    run = many(classes, count, nodes)
    began = time.process_time()
    html = render(run)
    took = time.process_time() - began
    print(f"{classes} classes, {count:,} images, {nodes} networks: {took:.1f} s, {len(html) / 1e6:.2f} MB")
    assert len(html) < 5e6
    assert took < 20  # of computing; half of it, where nothing else runs
    page = parse(html)
    assert page.faults == [] and "ships" in [each["id"] for each in page.all("section")]
    assert not re.search(r"<script|https?://", html)
