"""A whole lineage on ten labels a class and thrice as many images without: who learns from which, who labels all."""

import io
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from pipeline.base import files
from pipeline.base.paths import ARTIFACTS, DATA, METRICS, PLAN
from pipeline.data import prepared
from pipeline.lineage import node
from pipeline.planning.specs.spec import read_spec_if, write_specs
from pipeline.planning.specs.training import TrainSpec
from stages import __main__ as stages
from tests.report.pages import Page
from tests.training import runs

pytestmark = pytest.mark.long
CHANGE: dict[str, Any] = {
    "data": {"source": "imagefolder", "root": "", "grayscale": True, "per_class": 10},
    "assistant": {"links": 1},
    "refinery": {"generations": 1},
    "born_again": {"generations": 2},
    "edges": {"compress": "ensemble"},
    "compress": {
        "order": ["distil", "tune", "export"],
        "steps": {
            "distil": {"recipe": {"epochs": 2}},
            "tune": {"recipe": {"epochs": 2}},
        },
    },
}
FEW = ("teacher", "baseline", "method/dkd", "method/cwtm")
ALL = ("assistant/t1", "student", "direct", "refinery/g1", "born_again/g1", "born_again/g2", "mutual", "compress/c1")
ALL = (*ALL, "compress/c2", "method/soft_targets", "method/hint", "method/rkd")
BARE = 300


def digits(root: Path) -> None:
    """Digits as PNG files: of each class 40 in its folder, and 300 images of all classes without a label."""
    values, labels = load_digits(return_X_y=True)
    kept: dict[int, int] = {}
    bare = 0
    for number, (value, label) in enumerate(zip(values, labels.tolist(), strict=True)):
        kept[label] = kept.get(label, 0) + 1
        if kept[label] <= 40:
            path = root / f"digit {label}" / f"{number}.png"
        elif (bare := bare + 1) <= BARE:
            path = root / "unlabelled" / f"{number}.png"
        else:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((value.reshape(8, 8) * 15).astype(np.uint8)).save(path)


@pytest.fixture(scope="module", params=["dense", "topk"])
def said(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """All that the stages print, in the folder in which they ran."""
    folder = tmp_path_factory.mktemp(request.param)
    digits(folder / "images")
    with runs.inside(folder), redirect_stdout(io.StringIO()) as out, redirect_stderr(out):
        change = runs._merged(
            CHANGE,
            {
                "data": {"root": str(folder / "images")},
                "labels": {"kind": request.param, "k": 4 if request.param == "topk" else None},
            },
        )
        specs = runs.planned(folder, change)
        names = [name for name in specs if not name.startswith("method/") or name in (*FEW, *ALL)]
        nodes = tuple(name for name in specs["summary"].nodes if name in names)
        specs |= {name: replace(specs[name], nodes=nodes) for name in ("summary", "report")}
        write_specs(specs, PLAN)
        for name in names:
            if name != "machine":
                family, _, slot = name.partition("/")
                getattr(stages, family)(*([slot] if slot else []))
        yield out.getvalue()


def test_every_node_tells_what_it_learns_from(said: str) -> None:
    data = prepared.read(DATA)
    bare = data.train.unlabelled
    assert bare == BARE and len(data.train) == 100 + BARE
    assert f"{BARE} of train without a label" in said
    assert f"{BARE} images train without a label, on what a teacher says of them: unlabelled/" in said
    for names, words in ((FEW, "100 images (300 more without a label)"), (ALL, "400 images (300 of them without a")):
        for name in names:
            (line,) = [line for line in said.splitlines() if line.startswith(f"{name}: learns from")]
            assert words in line, name


def test_whoever_labels_labels_all(said: str) -> None:
    counts = {}
    for path in ARTIFACTS.rglob("labels/labels.json"):
        header = files.read_json(path)
        counts[path.parent.parent.relative_to(ARTIFACTS).as_posix()] = header["count"]
    assert {"teacher", "ensemble", "refinery/g1", "born_again/g2", "baseline"} <= {*counts}
    assert {*counts.values()} == {100 + BARE}


def test_figures_are_of_images_with_a_label(said: str) -> None:
    data = prepared.read(DATA)
    for split in (data.validation, data.test):
        assert split.unlabelled == 0 and {*np.asarray(split.labels).tolist()} == {*range(10)}
    for name in ("refined", "ensemble", "compress/c3"):
        assert node.read(name).status in ("carried", "computed")
    summary = files.read_json(METRICS / "summary.json")
    assert all(0 <= figure <= 1 for figure in summary["test"].values())


def test_report_and_card_count_them(said: str) -> None:
    page = Page()
    page.feed(Path("report.html").read_text())
    assert "400 (300 without a label) / " in page.text
    (card,) = ARTIFACTS.rglob("MODEL_CARD.md")
    assert "400 for train (300 of them without a label)" in card.read_text()


def test_specs_do_not_name_them(said: str) -> None:
    spec = read_spec_if("baseline", TrainSpec)
    assert spec is not None and "unlabelled" not in str(spec.as_json())
