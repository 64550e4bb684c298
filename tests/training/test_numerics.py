"""Numbers that are not finite are found, named and stopped; odd data train as far as they can."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import DATA, PLAN
from pipeline.config import params
from pipeline.data import prepared
from pipeline.data.prepare import prepare
from pipeline.data.rows import Rows
from pipeline.labels.store import open_labels
from pipeline.lineage import node
from pipeline.lineage.node import Node
from pipeline.lineage.predictions import write_predictions
from pipeline.models.build import build
from pipeline.planning.specs.spec import write_specs
from pipeline.training.export import numbers
from pipeline.training.learn import learn
from pipeline.training.learner import Learner
from pipeline.training.loop import Training
from pipeline.training.state import State
from tests.training.runs import furnish, inside, live, planned, run, training

STEPS = 4
NAN = float("nan")


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("numerics")
    with inside(folder):
        yield furnish(folder)


def at_step(number: int, function: Callable[..., Any], change: Callable[[Any], Any]) -> Callable[..., Any]:
    """The function, its result changed in one call."""
    calls = 0

    def changed(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        found = function(*args)
        return change(found) if calls == number else found

    return changed


def stopped(of: Training, folder: Path, sentence: str) -> None:
    """Training ends with that sentence, and nothing that is broken was saved."""
    with pytest.raises(UserError, match=sentence) as raised:
        run(of, folder)
    assert "\n" not in str(raised.value)
    assert State(folder).load(pytest.fail) is None


@pytest.mark.parametrize("step", [1, 3, STEPS])
def test_a_teachers_logit_names_the_sample(specs: dict[str, Any], tmp_path: Path, step: int) -> None:
    of = live(specs["direct"])
    third: list[int] = []
    output = of.teacher.output

    def wrong(v: int, rows: Rows, x_BCHW: Tensor) -> Any:
        given = output(v, rows, x_BCHW)
        third.append(int(rows.host_B[2]))
        if third[-1] == third[min(step, len(third)) - 1] and given.t_BC is not None and len(third) >= step:
            given.t_BC[2, 0] = NAN
        return given

    of.teacher.output = wrong
    with pytest.raises(UserError) as raised:
        run(of, tmp_path / "state")
    assert f"the teacher gives row {third[step - 1]} of view 1 a logit that is not finite" in str(raised.value)
    assert f"(epoch 1, step {step})" in str(raised.value)
    assert State(tmp_path / "state").load(pytest.fail) is None


@pytest.mark.parametrize("term", ["cross_entropy", "soft_targets"])
@pytest.mark.parametrize("wrong", [NAN, float("inf")])
def test_a_term_is_named(specs: dict[str, Any], tmp_path: Path, term: str, wrong: float) -> None:
    of = training(specs["direct"])
    objective = of.learners[0].objective
    objective.forward = at_step(3, objective.forward, lambda losses: {**losses, term: losses[term] * wrong})
    stopped(of, tmp_path / "state", rf"^the loss is not finite at epoch 1, step 3 \({term}\): lower recipe.lr")


@pytest.mark.parametrize("step", [2, STEPS, STEPS + 1, 2 * STEPS])
def test_a_gradient_is_not_taken_for_a_loss(
    specs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The loss of that step was fine; that of the next one would be none, and there may be no next one."""
    of = training(specs["baseline"])

    def broken(gradients: list[Tensor]) -> list[Tensor]:
        gradients[0].view(-1)[0] = NAN
        return gradients

    monkeypatch.setattr(Learner, "gradients", at_step(step, Learner.gradients, broken))
    epoch, number = divmod(step - 1, STEPS)
    stopped(of, tmp_path / "state", rf"^the gradient is not finite at epoch {epoch + 1}, step {number + 1}: lower")


def test_weights_that_break_in_the_last_step_are_not_exported(specs: dict[str, Any], tmp_path: Path) -> None:
    of = training(specs["baseline"])
    optimizer = of.learners[0].optimizer

    def breaks(*_: Any) -> None:
        if of.at.epoch == of.recipe.epochs - 1 and of.at.step == STEPS - 1:
            next(of.model.parameters()).data.view(-1)[0] = float("inf")

    optimizer.register_step_post_hook(breaks)
    stopped(of, tmp_path / "state", r"^\S+ is not finite at the end of epoch 2, step 4: lower recipe.lr")


@pytest.mark.parametrize("split", ["validation", "test"])
def test_an_answer_names_the_image(tmp_path: Path, split: str) -> None:
    logits = {"validation": torch.zeros(5, 3), "test": torch.zeros(5, 3)}
    logits[split][4, 1] = NAN
    with pytest.raises(UserError, match=rf"gives {split} image 4 a logit that is not finite"):
        write_predictions(tmp_path, logits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [(-1, 0), (1, 0), (0, -1), (0, 1)])
def test_answers_of_another_shape_are_none(specs: dict[str, Any], tmp_path: Path, wrong: tuple[int, int]) -> None:
    """Of the network and of its teacher: rows are images, columns classes."""
    data = prepared.read(DATA)
    whole = {split: torch.zeros(len(getattr(data, split)), 10) for split in ("validation", "test")}
    rows, columns = (size + more for size, more in zip(whole["test"].shape, wrong, strict=True))
    sentence = rf"answers the \d+ test images of 10 classes with logits of shape \({rows}, {columns}\)"
    with pytest.raises(UserError, match=rf"^the network {sentence}"):
        numbers(data, {**whole, "test": torch.zeros(rows, columns)}, None)
    with inside(tmp_path):
        hashed = write_predictions(Path("artifacts/a"), {**whole, "test": torch.zeros(rows, columns)})
        teacher = Node("a", "trained", hashes={"predictions": hashed})
        with pytest.raises(UserError, match=rf"^artifacts/a/predictions/logits.safetensors, which a left, {sentence}"):
            numbers(data, whole, teacher)
        hashed = write_predictions(Path("artifacts/a"), whole)
        assert numbers(data, whole, replace(teacher, hashes={"predictions": hashed}))["teacher"]["agreement"] == 1


def pictures(root: Path, counts: dict[str, int], size: int, colour: Callable[[int, int], int]) -> None:
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for number in range(count):
            # Equal bytes would be one unit, which no split divides.
            note = PngInfo()
            note.add_text("number", f"{label} {number}")
            image = Image.new("L", (size, size), colour(label, number))
            image.save(root / name / f"{number:03}.png", pnginfo=note)


ODD: dict[str, tuple[dict[str, int], int, Callable[[int, int], int], dict[str, Any]]] = {
    "constant images": ({"a": 9, "b": 9}, 8, lambda label, number: 7, {}),
    "black images": ({"a": 9, "b": 9}, 8, lambda label, number: 0, {}),
    "images of one pixel": ({"a": 9, "b": 9}, 1, lambda label, number: 100 * label + number, {"views": {"shift": 0}}),
    "one image a class": ({f"c{n}": 3 for n in range(30)}, 8, lambda label, number: 8 * label, {}),
    "batches of one": ({"a": 9, "b": 9}, 8, lambda label, number: 90 * label, {"training": {"batch_size": 1}}),
    "one batch of all": ({"a": 9, "b": 9}, 8, lambda label, number: 90 * label, {"training": {"batch_size": 999}}),
    "label noise of 100 %": ({"a": 9, "b": 9}, 8, lambda label, number: 90 * label, {"data": {"label_noise": 1.0}}),
    "a class of one": ({"a": 40, "b": 3}, 8, lambda label, number: 90 * label, {"data": {"validation": 0.01}}),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_data_train_or_say_why_not(tmp_path: Path, name: str) -> None:
    counts, size, colour, change = ODD[name]
    pictures(tmp_path / "images", counts, size, colour)
    with inside(tmp_path):
        data = {"source": "imagefolder", "root": "images", "per_class": None, "grayscale": True}
        specs = planned(tmp_path, {**change, "data": {**data, **change.get("data", {})}})
        write_specs(specs, PLAN)
        DATA.parent.mkdir(parents=True)
        read = params.read(tmp_path / "params.yaml")
        header = prepare(read.data, tmp_path / "images", 0, DATA)
        if name == "label noise of 100 %":
            assert header["relabelled"] == header["counts"]["train"]
        learn(specs["teacher"])
        learn(specs["direct"])
        for each in (node.read("teacher"), node.read("direct")):
            numbers = node.read_numbers(each.name)
            assert 0 <= numbers["test"]["accuracy"] <= 1
            assert {"weights", "predictions", "labels"} <= {*each.provides}


def test_a_class_that_train_has_and_test_lacks_is_refused(tmp_path: Path) -> None:
    pictures(tmp_path / "train", {"a": 3, "b": 3}, 8, lambda label, number: 90 * label)
    pictures(tmp_path / "test", {"a": 3}, 8, lambda label, number: 90 * label)
    from pipeline.config.data import Data

    with pytest.raises(UserError, match="has class 'b' in train/ and not in test/"):
        prepare(Data(source="imagefolder"), tmp_path, 0, tmp_path / "out")


def test_stored_logits_of_a_stranger_name_the_row(specs: dict[str, Any], tmp_path: Path) -> None:
    """Its hashes may all fit: they show damage, not who wrote it."""
    import shutil

    from safetensors.numpy import load_file, save_file

    teacher, data = node.read("teacher"), prepared.read(DATA)
    folder = Path(shutil.copytree(teacher.labels, tmp_path / "labels"))
    stored = load_file(folder / "view_001.safetensors")
    stored["logits"][13, 2] = NAN
    save_file(stored, folder / "view_001.safetensors")
    header = files.read_json(folder / "labels.json")
    header["files"][1]["sha256"] = files.sha256(folder / "view_001.safetensors")
    files.write_json(folder / "labels.json", header)
    labels = open_labels(
        folder, recorded=files.digest(header), data_hash=data.hash, views=header["view_spec"], classes=data.classes
    )
    labels.view(0)
    with pytest.raises(UserError, match=r"view_001.safetensors has logits of row 13 that are not finite"):
        labels.rows(1, np.array([0]))


def test_more_classes_than_samples_have_logits_for_all(tmp_path: Path) -> None:
    model = build({"family": "plain", "widths": [4]}, channels=1, size=8, classes=1000)
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 1000)
