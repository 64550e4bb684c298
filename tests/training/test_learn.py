"""A whole stage: what decides that saved progress is used again, and that a node records the logits of its network."""

import csv
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.base.paths import CURVES, DATA
from pipeline.config import params
from pipeline.config.views import Views
from pipeline.data import prepared
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared, Split
from pipeline.data.views import augment, describe, draw
from pipeline.dvc.training_state import state_root
from pipeline.labels.store import open_labels
from pipeline.lineage import node
from pipeline.lineage.predictions import read_predictions
from pipeline.models.build import rebuild
from pipeline.models.files import load_weights
from pipeline.planning.specs.training import TrainSpec
from pipeline.training import checkpoint
from pipeline.training.device import Device
from pipeline.training.key import read_by
from pipeline.training.learn import learn, open_teacher
from pipeline.training.seen_views import with_seen_views
from tests.training import runs
from tests.training.runs import CPU, changed, equal, furnish, inside, run, stopped_after, tensors, training


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, TrainSpec]]:
    folder = tmp_path_factory.mktemp("learn") / "workspace"
    folder.mkdir()
    with inside(folder):
        return folder, furnish(folder)


@pytest.fixture
def specs(furnished: tuple[Path, dict[str, TrainSpec]], tmp_path: Path) -> Iterator[dict[str, TrainSpec]]:
    """A copy of the workspace for each test: data and teacher are changed here."""
    folder, found = furnished
    with inside(Path(shutil.copytree(folder, tmp_path / "workspace"))):
        yield found


def relearned(spec: TrainSpec, change: Callable[[], TrainSpec]) -> bool:
    """Learn twice as it is and once after a change: whether the last one was another training."""
    folder = state_root() / spec.node
    learn(spec)
    weights, keys = node.read(spec.node).hashes["weights"], {*folder.iterdir()}
    assert len(keys) == 1
    learn(spec)
    assert {*folder.iterdir()} == keys, "what is the same has the same key"
    learn(change())
    assert (node.read(spec.node).hashes["weights"] == weights) is ({*folder.iterdir()} == keys)
    return {*folder.iterdir()} > keys


def test_other_data_have_another_key(specs: dict[str, TrainSpec]) -> None:
    """Else weights that never saw these images would be exported as trained on them."""
    spec = specs["baseline"]

    def another_split() -> TrainSpec:
        prepare(params.read(Path("params.yaml")).data, Path(), 1, DATA)
        return spec

    assert relearned(spec, another_split)


@pytest.mark.parametrize("how", [{"teaching": "stored"}, {"teaching": "live", "teacher_batch": 32}], ids=str)
def test_another_teacher_has_another_key(specs: dict[str, TrainSpec], how: dict[str, Any]) -> None:
    """One of the same name, the same architecture and the same data."""
    spec = changed(specs["direct"], **how)

    def another_teacher() -> TrainSpec:
        learn(changed(specs["teacher"], seed=1))
        return spec

    assert relearned(spec, another_teacher)


def test_more_labels_of_the_same_teacher_have_the_same_key(specs: dict[str, TrainSpec]) -> None:
    """Else a student with more epochs would train all others of its teacher again."""
    spec, before = specs["direct"], node.read("teacher").hashes["labels"]

    def more_views() -> TrainSpec:
        teacher = specs["teacher"]
        more = teacher.labels.views + 1
        learn(replace(teacher, labels=replace(teacher.labels, views=more, distinct=more)))
        return spec

    assert spec.training.teaching == "stored"
    assert not relearned(spec, more_views)
    assert (after := node.read("teacher").hashes["labels"]) != before
    assert node.read("direct").lineage[0]["hash"] == after


def test_labels_that_are_not_the_recorded_ones_have_no_key(specs: dict[str, TrainSpec]) -> None:
    header = node.read("teacher").labels / "labels.json"
    header.write_text(header.read_text().replace('"views"', '"view"'))
    seen = with_seen_views(specs["direct"], 100, 10)
    with pytest.raises(UserError, match=r"labels\.json is damaged \(its SHA-256 is not the recorded one\)"):
        read_by(seen)


def test_other_first_weights_have_another_key(specs: dict[str, TrainSpec]) -> None:
    first, spec = specs["baseline"], replace(specs["direct"], initial="baseline")
    learn(first)

    def another_beginning() -> TrainSpec:
        learn(changed(first, seed=1))
        return spec

    assert relearned(spec, another_beginning)


def test_another_recipe_has_another_key(specs: dict[str, TrainSpec]) -> None:
    spec = specs["baseline"]
    assert relearned(spec, lambda: changed(spec, recipe=spec.training.recipe | {"lr": 0.01}))


def test_other_code_has_another_key(specs: dict[str, TrainSpec]) -> None:
    spec = specs["baseline"]
    learn(spec)
    learn(replace(spec, code={**spec.code, "training": {"loop": "0" * 64}}))
    assert len([*(state_root() / "baseline").iterdir()]) == 2


def other_threads(patch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    patch.setattr(torch, "get_num_threads", lambda: threads + 1)


ENVIRONMENTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "torch": lambda patch: patch.setattr(torch, "__version__", "1.0"),
    "precision": lambda patch: patch.setattr(runs, "CPU", Device(CPU.where, torch.bfloat16)),
    "threads": other_threads,
    "fused": lambda patch: patch.setattr(checkpoint, "is_fused", lambda device: False),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_progress_of_another_environment_is_not_used(
    specs: dict[str, TrainSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    stopped_after(training(specs["baseline"]), tmp_path / "state", 3)
    ENVIRONMENTS[name](monkeypatch)
    again, whole = training(specs["baseline"]), training(specs["baseline"])
    (logged,) = run(again, tmp_path / "state")
    assert logged.startswith(f"saved progress is not used: {name} was ")
    run(whole, tmp_path / "whole")
    assert equal(tensors(again), tensors(whole)), "it starts anew"


def network(name: str) -> nn.Module:
    """A node's network as anybody would make it from its files, for use."""
    found = node.read(name)
    assert found.architecture is not None
    model = rebuild(found.architecture)
    load_weights(model, found.weights, name)
    return model.eval()


def clean(data: Prepared, split: Split) -> Tensor:
    """Its images, normalised."""
    pixels_NCHW = torch.from_numpy(np.array(split.images)).float() / 255
    mean_C, std_C = torch.tensor(data.mean), torch.tensor(data.std)
    return (pixels_NCHW - mean_C[:, None, None]) / std_C[:, None, None]


def share_right(z_NC: Tensor, y_N: np.ndarray) -> float:
    """Accuracy, one image at a time."""
    return sum(int(z_C.argmax()) == int(y) for z_C, y in zip(z_NC, y_N, strict=True)) / len(y_N)


def test_a_node_records_what_its_weights_give(specs: dict[str, TrainSpec]) -> None:
    learn(specs["direct"])
    data, found, numbers = prepared.read(DATA), node.read("direct"), node.read_numbers("direct")
    student, teacher = network("direct"), network("teacher")
    stored = read_predictions(found)
    right = {}
    for name, split in (("validation", data.validation), ("test", data.test)):
        with torch.no_grad():
            z_NC = student(clean(data, split))
        torch.testing.assert_close(stored[name], z_NC, rtol=1e-4, atol=1e-4)
        right[name] = share_right(z_NC, split.labels)
        assert numbers[name]["accuracy"] == pytest.approx(right[name])
    assert right["validation"] != right["test"], "so that one cannot be taken for the other"
    with torch.no_grad():
        x_NCHW = clean(data, data.test)
        agreement = share_right(student(x_NCHW), teacher(x_NCHW).argmax(1).numpy())
    assert numbers["teacher"]["agreement"] == pytest.approx(agreement)
    # Whoever chooses, in a chain or by the curve, goes by validation.
    assert found.chain[-1] == ("direct", pytest.approx(right["validation"]))
    rows = [*csv.DictReader((CURVES / "direct.csv").read_text().splitlines())]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {"loss", "loss_cross_entropy", "loss_soft_targets"} <= rows[0].keys()
    assert float(rows[-1]["validation_accuracy"]) == pytest.approx(right["validation"])


def test_its_labels_are_what_its_weights_give_for_each_view(specs: dict[str, TrainSpec]) -> None:
    data, found, spec = prepared.read(DATA), node.read("teacher"), specs["teacher"].training
    views, seed, count = Views(**spec.views), spec.views_seed, len(data.train)
    described = describe(views, seed, "labels", count)
    recorded = found.hashes["labels"]
    labels = open_labels(found.labels, recorded=recorded, data_hash=data.hash, views=described, classes=data.classes)
    images_NCHW = torch.from_numpy(np.array(data.train.images))
    mean_C, std_C = torch.tensor(data.mean), torch.tensor(data.std)
    for v in range(labels.views + 1):
        drawn = draw(views, seed, "labels", v, count, data.size)
        with torch.no_grad():
            z_NC = network("teacher")(augment(images_NCHW, drawn, torch.arange(count), mean_C, std_C))
        torch.testing.assert_close(labels.view(v), z_NC, rtol=1e-4, atol=1e-4)


def test_training_seconds_are_those_of_all_epochs(specs: dict[str, TrainSpec], tmp_path: Path) -> None:
    of = training(specs["baseline"])
    run(of, tmp_path / "state")
    images = len(of.data.train)
    assert of.at.seconds == pytest.approx(sum(images / row["images_per_second"] for row in of.rows()), rel=1e-2)


@pytest.mark.parametrize("teaching", ["stored", "live"])
def test_lineage_names_what_is_really_read(specs: dict[str, TrainSpec], teaching: str) -> None:
    teacher = node.read("teacher")
    read = {"stored": "labels", "live": "weights"}[teaching]
    spec = changed(specs["direct"], teaching=teaching, teacher_batch=32)
    data = prepared.read(DATA)
    spec = with_seen_views(spec, len(data.train), len(data.classes))
    assert open_teacher(spec, data, CPU)[1] == ({"teacher": "teacher", "read": read, "hash": teacher.hashes[read]},)
    assert teacher.hashes["labels"] != teacher.hashes["weights"]


def test_a_teacher_whose_weights_are_damaged_is_refused(specs: dict[str, TrainSpec]) -> None:
    path = node.read("teacher").weights
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # the last bits of a weight: the file can still be read
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors is damaged"):
        training(changed(specs["direct"], teaching="live", teacher_batch=32))
