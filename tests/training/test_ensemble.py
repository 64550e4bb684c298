"""The ensemble of members made by hand: what is combined, where weights are fitted, which label goes to which crop.

Legend: N images, C classes, M members, H = W edge in pixels.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import ARTIFACTS, PLAN
from pipeline.config.views import Views
from pipeline.data import prepared
from pipeline.data.prepared import Prepared, Split
from pipeline.data.views import augment, describe, draw
from pipeline.dvc.training_state import VARIABLE
from pipeline.evaluation.ensemble import cross_fitted
from pipeline.labels.store import open_labels
from pipeline.lineage import node
from pipeline.lineage.node import Node
from pipeline.lineage.predictions import read_predictions, write_predictions
from pipeline.models.build import build
from pipeline.models.files import save_weights
from pipeline.planning.specs.readers import EnsembleSpec
from pipeline.planning.specs.spec import write_specs
from pipeline.planning.specs.training import ForwardSettings, LabelSettings
from pipeline.training import ensemble
from tests.training.runs import machine

CLASSES = ("a", "b", "c")
TRAIN, VALIDATION, TEST, VIEWS, EDGE = 5, 40, 30, 2, 8
ARCHITECTURE: dict[str, Any] = {"family": "plain", "widths": [4, 8]}
MEAN, STD = (0.4,), (0.3,)
LABELS = LabelSettings(views=VIEWS, distinct=None, max_bytes=10**9, kind="auto", k=None, batch_size=4)
SPEC = EnsembleSpec(
    node="ensemble",
    members=("born_again/g1", "born_again/g2", "born_again/g3"),
    rule="probabilities",
    labels=LABELS,
    forward=ForwardSettings(views=Views(shift=1).model_dump(mode="json"), views_seed=4, precision="float32"),
    code={},
)


def split(count: int, seed: int) -> Split:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, 1, EDGE, EDGE), dtype=np.uint8)
    return Split(images, random.integers(0, len(CLASSES), count))


FIRST = split(TRAIN, 0)
DATA = Prepared(FIRST, split(VALIDATION, 1), split(TEST, 2), FIRST.labels, CLASSES, MEAN, STD, 1, EDGE, "d" * 64)
STREAM = describe(Views(shift=1), 4, "ensemble", TRAIN)
BOUND: dict[str, Any] = {"data_hash": DATA.hash, "views": STREAM, "classes": CLASSES}


def network(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build(ARCHITECTURE, channels=1, size=EDGE, classes=len(CLASSES)).eval()


def member(name: str, seed: int, better_on: str, trained_on: str) -> Node:
    """A network that knows one of the two splits by its predictions, and has weights of its own."""
    random = torch.Generator().manual_seed(seed)
    logits = {}
    for of in ("validation", "test"):
        y_N = torch.from_numpy(getattr(DATA, of).labels)
        lean = 2.0 if of == better_on else 0.0
        logits[of] = torch.randn(len(y_N), 3, generator=random) + lean * torch.nn.functional.one_hot(y_N, 3)
    folder = ARTIFACTS / name
    hashes = {"predictions": write_predictions(folder, logits)}
    save_weights(network(seed), folder / "model.safetensors")
    hashes["weights"] = files.sha256(folder / "model.safetensors")
    made = Node(
        name,
        "trained",
        tuple(hashes),
        format="safetensors",
        architecture={**ARCHITECTURE, "channels": 1, "size": EDGE, "classes": len(CLASSES)},
        hashes=hashes,
        trained_on=(trained_on,),
    )
    node.write(folder, made)
    return made


@pytest.fixture
def members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Node]:
    """Two networks, the second slot standing for the first one; in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prepared, "read", lambda folder: DATA)
    # Their predictions are made up.
    monkeypatch.setattr("pipeline.training.ensemble.check_answers", lambda *of: None)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "state"))
    write_specs({"machine": machine("cpu", 1)}, PLAN)
    found = [member("born_again/g1", 1, "validation", "labels"), member("born_again/g3", 3, "test", "labels_2")]
    node.carry("born_again/g2", found[0])
    return found


def shown(v: int) -> Tensor:
    """The pixels of view `v` of the stream that an ensemble teaches (N, 1, H, W)."""
    drawn = draw(Views(shift=1), 4, "ensemble", v, TRAIN, EDGE)
    images_NCHW = torch.from_numpy(np.array(DATA.train.images))
    return augment(images_NCHW, drawn, torch.arange(TRAIN), torch.tensor(MEAN), torch.tensor(STD))


def mixture(logits: list[Tensor], weights: list[float]) -> Tensor:
    """Probabilities (N, C) of the weighted mean, by the definition."""
    return sum((w * z_NC.double().softmax(1) for w, z_NC in zip(weights, logits, strict=True)), torch.zeros(()))


def labels(of: Node) -> Any:
    return open_labels(of.labels, recorded=of.hashes["labels"], **BOUND)


def test_each_network_counts_once_and_each_crop_has_the_labels_of_that_crop(members: list[Node]) -> None:
    before = {path: path.read_bytes() for each in members for path in each.folder.rglob("*") if path.is_file()}
    ensemble.write_ensemble(SPEC)
    made = node.read("ensemble")
    assert [*node.read_numbers("ensemble")["members"]] == ["born_again/g1", "born_again/g3"]
    stored = [read_predictions(each) for each in members]
    for of, z_NC in read_predictions(made).items():
        torch.testing.assert_close(z_NC.exp().double(), mixture([each[of] for each in stored], [0.5, 0.5]))
    found = labels(made)
    assert (found.views, made.labels_stream) == (VIEWS, "ensemble")
    for v in range(VIEWS + 1):
        with torch.no_grad():
            expected = mixture([network(seed)(shown(v)) for seed in (1, 3)], [0.5, 0.5])
        torch.testing.assert_close(found.view(v).softmax(1).double(), expected, rtol=1e-5, atol=1e-6)
    assert all(path.read_bytes() == content for path, content in before.items()), "no member is made again"


def test_the_ensembles_labels_follow_the_budget_of_views(members: list[Node]) -> None:
    a_view = 4 * TRAIN * len(CLASSES)
    ensemble.write_ensemble(replace(SPEC, labels=replace(LABELS, max_bytes=2 * a_view)))
    assert labels(node.read("ensemble")).views == 1


def test_a_member_that_has_seen_what_the_ensemble_labels_is_refused(members: list[Node]) -> None:
    member("born_again/g3", 3, "test", "ensemble")
    with pytest.raises(UserError, match="born_again/g3 was trained on the views that the ensemble labels: take it out"):
        ensemble.write_ensemble(SPEC)
    assert not (ARTIFACTS / "ensemble").exists()


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
    made = read_predictions(node.read("ensemble"))
    tested = [read_predictions(each)["test"] for each in members]
    torch.testing.assert_close(made["test"].exp().double(), mixture(tested, weights))
    # On validation, where they were fitted, each image has the weights that others give.
    assert not torch.allclose(made["validation"].exp().double(), mixture(stored, weights))
    torch.testing.assert_close(made["validation"], cross_fitted(torch.stack(stored), y_N))
    numbers = node.read_numbers("ensemble")
    assert numbers["first"]["validation"]["2"] == numbers["validation"]["accuracy"]


def test_an_ensemble_that_teaches_nobody_runs_no_member(members: list[Node], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensemble, "load", lambda *_: pytest.fail("a member was loaded"))
    ensemble.write_ensemble(replace(SPEC, labels=replace(LABELS, views=0)))
    found = node.read("ensemble")
    assert found.provides == ("predictions",)
    assert [item["hash"] for item in found.lineage] == [each.hashes["predictions"] for each in members]
