"""A teacher that is no network of ours, from its file to a student: answers, and an ONNX model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import DATA, PLAN
from pipeline.config import params
from pipeline.config.views import Views
from pipeline.data import prepared
from pipeline.data.origins import ORIGINS
from pipeline.data.prepare import prepare
from pipeline.data.views import describe
from pipeline.labels.answers import our_views
from pipeline.labels.store import open_labels
from pipeline.lineage import node
from pipeline.lineage.predictions import read_predictions
from pipeline.planning.specs.spec import write_specs
from pipeline.training import foreign, onnx_teacher
from pipeline.training.learn import learn
from pipeline.training.state import VARIABLE
from tests.labels.answered import npz, of_node, parquet
from tests.planning.test_foreign import WITHOUT_NETWORK
from tests.training.runs import furnish, inside, planned

STUDENT: dict[str, Any] = {"assistant": {"links": 0}, "student": {"recipe": {"epochs": 2}}}
OFF: dict[str, Any] = {"views": {"shift": 0, "flip": False, "scale": 1.0}}
ANSWERS = "answers.npz"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits, a teacher that was trained here, and the student that learned from its stored labels."""
    folder = tmp_path_factory.mktemp("trained")
    with inside(folder):
        specs = furnish(folder, STUDENT)
        learn(specs["direct"])
        (DATA / ORIGINS).exists() or prepare(params.read(Path("params.yaml")).data, folder, 0, folder / "again", True)
        (folder / "again" / ORIGINS).rename(DATA / ORIGINS)
    return folder


@pytest.fixture
def there(trained: Path, tmp_path: Path) -> Path:
    """The prepared images of `trained` in a folder of its own, where nothing was trained."""
    (tmp_path / "artifacts").mkdir()
    (tmp_path / DATA).symlink_to(trained / DATA)
    return tmp_path


def answered(trained: Path, folder: Path) -> dict[str, Any]:
    """All that the teacher of `trained` has stored, as a file of answers to our views."""
    with inside(trained):
        data, teacher = prepared.read(DATA), node.read("teacher")
        views = files.read_json(teacher.labels / "labels.json")["view_spec"]
        labels = open_labels(
            teacher.labels, recorded=teacher.hashes["labels"], data_hash=data.hash, views=views, classes=data.classes
        )
        content = of_node(labels, read_predictions(teacher), labels.views)
        return {**content, "view_spec": np.array(json.dumps(our_views(views, data.hash)))}


def specs_of(folder: Path, file: Path, key: str = "answers", views: Any = None, **settings: Any) -> dict[str, Any]:
    """The specs with a teacher from that file."""
    given = {"file": str(file), "sha256": files.sha256(file), **settings}
    specs = planned(folder, {**WITHOUT_NETWORK, **STUDENT, "teacher": {key: given}, **(views or {})})
    write_specs(specs, PLAN)
    return specs


def taught(folder: Path, specs: dict[str, Any]) -> node.Node:
    """Take the teacher in and train the student that learns straight from it."""
    take = foreign.take if specs["teacher"].action == "answers" else onnx_teacher.take
    take(specs["teacher"])
    learn(specs["direct"])
    return node.read("direct")


def same(one: node.Node, other: node.Node) -> bool:
    return one.hashes["weights"] == other.hashes["weights"] and one.hashes["labels"] == other.hashes["labels"]


@pytest.mark.parametrize("write", [npz, parquet])
def test_answers_of_our_views_make_the_student_that_the_network_made(
    trained: Path, there: Path, write: Callable[[Path, dict[str, Any]], Path]
) -> None:
    content = answered(trained, there)
    # In another order, as whoever answers elsewhere has one of its own.
    mixed = np.random.default_rng(0).permutation(len(content["number"]))
    content = {key: value[mixed] if value.ndim else value for key, value in content.items()}
    with inside(trained):
        teacher, student = node.read("teacher"), node.read("direct")
    with inside(there):
        file = write(there / ("answers.npz" if write is npz else "answers.parquet"), content)
        found = taught(there, specs_of(there, file, for_views="own"))
        assert found.hashes["weights"] == student.hashes["weights"]
        given = node.read("teacher")
        assert given.hashes["predictions"] == teacher.hashes["predictions"]
        headers = [files.read_json(each / "labels.json")["files"] for each in (given.labels, trained / teacher.labels)]
        assert headers[0] == headers[1]
        assert (given.status, given.provides) == ("imported", ("predictions", "labels"))
        numbers = node.read_numbers("teacher")
        assert not {"parameters", "flops", "bytes"} & numbers.keys() and "latency_ms" not in numbers["cost"]
