"""`predict --test`: what ships answers the files that the test split was made from, beside what is stored."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.commands.originals import compared
from pipeline.commands.predict import opened
from pipeline.config.data import Data
from pipeline.data import prepared
from pipeline.data.decode import decode
from pipeline.data.origins import read_origins
from pipeline.data.prepare import prepare
from pipeline.lineage import node
from pipeline.lineage.predictions import read_predictions
from pipeline.lineage.runtimes import lines
from pipeline.planning.specs.prepare import PrepareSpec
from pipeline.planning.specs.spec import read_spec
from tests.compression import chains
from tests.data.pictures import file, photograph
from tests.training import runs

PHOTOGRAPHS = {"source": "imagefolder", "root": "photographs", "size": 12, "storage": "encoded", "store_size": 14}


def photographs(root: Path) -> None:
    for label, name in enumerate("abc"):
        (root / name).mkdir(parents=True)
        for number in range(20):
            size = (40 + 2 * number, 36) if number % 2 else (36 + label, 37 + number)
            (root / name / f"{number:02}.jpg").write_bytes(file(photograph(100 * label + number, size)))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("originals")
    with runs.inside(folder):
        photographs(Path("photographs"))
        change: dict[str, Any] = {"data": {**PHOTOGRAPHS, "per_class": None}}
        runs.furnish(folder, change)
        with chains.workshop(folder):
            chain = {"order": ["export"], "steps": {"export": {}}, "from": "teacher"}
            specs = runs.planned(folder, change | {"compress": chain})
            chains.write_specs(specs, chains.PLAN)
            chains.compress("c1")
        yield node.read("compress/c1").weights


def test_the_files_are_answered_in_the_order_of_the_split(exported: Path, tmp_path: Path) -> None:
    told = list(compared(exported))
    labels_N = prepared.read(DATA).test.labels
    stored_NC = read_predictions(node.read_at(exported.parent))["test"].numpy()
    runtime = opened(exported)
    how: dict[str, Any] = {"mode": "RGB", "size": 12, "background": runtime.card.background}
    spec = read_spec("prepare", PrepareSpec)
    header = prepare(Data(**spec.data), Path("photographs"), spec.seed, tmp_path / "again", origins=True)
    origins = read_origins(tmp_path / "again", header["hash"])
    assert origins.paths
    paths = [Path("photographs", origins.paths[row]) for row in origins.rows["test"]]
    z_NC = np.concatenate([runtime.logits(decode(path.read_bytes(), **how)[None]) for path in paths])
    apart = np.abs(stored_NC - z_NC).max()
    assert 0 < apart < 1
    assert told[2] == f"largest difference of a logit: {apart:.3g}"
    right = 100 * (z_NC.argmax(1) == labels_N).mean()
    assert told[0].startswith(f"test accuracy {right:.2f} % of the files, ")
    other = (z_NC.argmax(1) != stored_NC.argmax(1)).sum()
    assert told[1] == f"{other} of {len(labels_N)} images are answered differently"


def test_it_is_a_line_of_the_table(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "files.txt").write_text("\n".join(compared(exported)))
    line = lines([], [tmp_path / "files.txt"])[1]
    assert line[0] == "files.txt" and line[1] == "predict on the files of test images"
    assert re.fullmatch(r"\d+ of 12", line[4])


def test_what_cannot_be_compared_is_refused(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = tmp_path / "model.onnx"
    alone.write_bytes(exported.read_bytes())
    with pytest.raises(UserError, match=r"nothing is stored beside .*model\.onnx: --test takes"):
        list(compared(alone))
    added = Path("photographs/a/more.jpg")
    added.write_bytes(file(photograph(999, (40, 40))))
    try:
        with pytest.raises(UserError, match=r"photographs are others than were prepared: run `dvc repro`"):
            list(compared(exported))
    finally:
        added.unlink()
