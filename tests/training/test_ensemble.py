"""The ensemble of members made by hand: what is combined, where weights are fitted, which label goes to which crop.

Legend: N images, C classes, M members.
"""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.base.paths import ARTIFACTS
from pipeline.config.views import Views
from pipeline.data import prepared
from pipeline.data.views import describe
from pipeline.labels.layout import Format
from pipeline.labels.store import LabelsHeader, open_labels, write_header, write_view
from pipeline.lineage import ensemble, node
from pipeline.lineage.node import Node
from pipeline.lineage.predictions import read_predictions, write_predictions
from pipeline.planning.specs.readers import EnsembleSpec

CLASSES = ("a", "b", "c")
TRAIN, VALIDATION, TEST, VIEWS = 5, 40, 30, 2
SPEC = EnsembleSpec(
    node="ensemble",
    members=("born_again/g1", "born_again/g2", "born_again/g3"),
    rule="probabilities",
    teaches=True,
    views=Views(shift=1).model_dump(mode="json"),
    views_seed=4,
    code={},
)


class Split(SimpleNamespace):
    """Labels only: the ensemble needs no pixel."""

    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def split(count: int, seed: int) -> Split:
    return Split(labels=np.random.default_rng(seed).integers(0, len(CLASSES), count))


DATA = SimpleNamespace(
    train=split(TRAIN, 0), validation=split(VALIDATION, 1), test=split(TEST, 2), classes=CLASSES, hash="d" * 64
)
STREAM = describe(Views(shift=1), 4, "labels", TRAIN)
BOUND: dict[str, Any] = {"data_hash": DATA.hash, "views": STREAM, "classes": CLASSES}


def member(name: str, seed: int, better_on: str) -> Node:
    """A network that knows one of the two splits, and has labels of its own for every view."""
    random = torch.Generator().manual_seed(seed)
    logits = {}
    for of in ("validation", "test"):
        y_N = torch.from_numpy(getattr(DATA, of).labels)
        lean = 2.0 if of == better_on else 0.0
        logits[of] = torch.randn(len(y_N), 3, generator=random) + lean * torch.nn.functional.one_hot(y_N, 3)
    folder = ARTIFACTS / name
    form = Format("dense", "float32")
    for v in range(VIEWS + 1):
        write_view(folder / "labels", v, torch.randn(TRAIN, 3, generator=random), form, name)
    header = LabelsHeader(
        teacher=name,
        teacher_hash="t" * 64,
        data_hash=DATA.hash,
        view_spec=STREAM,
        classes=CLASSES,
        count=TRAIN,
        views=VIEWS,
        format=form,
    )
    hashes = {"predictions": write_predictions(folder, logits), "labels": write_header(folder / "labels", header)}
    made = Node(name, "trained", ("predictions", "labels"), hashes=hashes)
    node.write(folder, made)
    return made


@pytest.fixture
def members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Node]:
    """Two networks, the second slot standing for the first one; in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prepared, "read", lambda folder: DATA)
    found = [member("born_again/g1", 1, "validation"), member("born_again/g3", 3, "test")]
    node.carry("born_again/g2", found[0])
    return found


def mixture(logits: list[Tensor], weights: list[float]) -> Tensor:
    """Probabilities (N, C) of the weighted mean, by the definition."""
    return sum((w * z_NC.double().softmax(1) for w, z_NC in zip(weights, logits, strict=True)), torch.zeros(()))


def labels(of: Node) -> Any:
    return open_labels(of.labels, recorded=of.hashes["labels"], **BOUND)


def test_each_network_counts_once_and_each_crop_has_the_labels_of_that_crop(members: list[Node]) -> None:
    ensemble.write_ensemble(SPEC)
    made = node.read("ensemble")
    assert [*node.read_numbers("ensemble")["members"]] == ["born_again/g1", "born_again/g3"]
    stored = [read_predictions(each) for each in members]
    for of, z_NC in read_predictions(made).items():
        torch.testing.assert_close(z_NC.exp().double(), mixture([each[of] for each in stored], [0.5, 0.5]))
    found = labels(made)
    assert found.views == VIEWS
    for v in range(VIEWS + 1):
        expected = mixture([labels(each).view(v) for each in members], [0.5, 0.5])
        torch.testing.assert_close(found.view(v).softmax(1).double(), expected)


def test_weights_are_those_of_the_validation_split(members: list[Node]) -> None:
    """By trying all of a grid; on test the other member is the better one."""
    ensemble.write_ensemble(replace(SPEC, rule="weighted"))
    stored = [read_predictions(each)["validation"] for each in members]
    y_N = torch.from_numpy(DATA.validation.labels)

    def nll(weight: float) -> float:
        return -mixture(stored, [weight, 1 - weight])[torch.arange(VALIDATION), y_N].log().mean().item()

    best = min((k / 1000 for k in range(1001)), key=nll)
    assert best > 0.6
    weights = node.read_numbers("ensemble")["weights"]
    assert weights == pytest.approx([best, 1 - best], abs=2e-2)
    found = read_predictions(node.read("ensemble"))["validation"]
    torch.testing.assert_close(found.exp().double(), mixture(stored, weights))


def test_an_ensemble_that_teaches_nobody_labels_the_clean_view_alone(members: list[Node]) -> None:
    ensemble.write_ensemble(replace(SPEC, teaches=False))
    found = labels(node.read("ensemble"))
    assert found.views == 0
    expected = mixture([labels(each).view(0) for each in members], [0.5, 0.5])
    torch.testing.assert_close(found.view(0).softmax(1).double(), expected)
