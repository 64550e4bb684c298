"""Each network is fed its own input: its size, its normalisation, wherever it forwards images."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.commands import study
from pipeline.compression.runtime import Runtime
from pipeline.config.input import Input
from pipeline.data import prepared
from pipeline.data.views import augment, describe, draw
from pipeline.evaluation import cost
from pipeline.labels.store import open_labels
from pipeline.lineage import node
from pipeline.lineage.predictions import read_predictions
from pipeline.training import answers
from pipeline.training.answers import check_answers
from pipeline.training.ensemble import write_ensemble
from pipeline.training.learn import learn, load, open_teacher
from pipeline.training.loop import Training
from pipeline.training.seen_views import with_seen_views
from tests.compression import chains
from tests.training import runs
from tests.training.runs import CPU, changed, equal, furnish, inside, tensors

OWN = Input(12, (0.25,), (0.5,), "squash", 0.125)
GIVEN = {"size": 12, "mean": [0.25], "std": [0.5], "framing": "squash", "margin": 0.125}
CHANGE = {"teacher": {"input": GIVEN, "recipe": {"epochs": 6}}}
HALF = {"size": 4, "mean": [0.5], "std": [0.25]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    with inside(folder):
        furnish(folder, CHANGE)
    return folder


@pytest.fixture
def specs(folder: Path) -> Iterator[dict[str, Any]]:
    with inside(folder):
        yield runs.planned(folder, CHANGE)


def seen(images_NCHW: Any, size: int = 12, mean: float = 0.25, std: float = 0.5) -> Tensor:
    """What a network is to be fed of uint8 images, written out."""
    x_NCHW = torch.from_numpy(np.array(images_NCHW)).float() / 255
    if size != x_NCHW.shape[-1]:
        x_NCHW = F.interpolate(x_NCHW, size=(size, size), mode="bilinear", antialias=True)
    return (x_NCHW - mean) / std


def batches(of: Training) -> list[Tensor]:
    """What the first network of a training was fed in its first epoch."""
    found: list[Tensor] = []
    hook = of.model.register_forward_pre_hook(lambda module, inputs: found.append(inputs[0].clone()))
    for _ in of.epoch():
        pass
    hook.remove()
    return found


def test_a_node_says_what_it_is_fed_and_one_fed_as_the_data_says_nothing(specs: dict[str, Any]) -> None:
    teacher = node.read("teacher")
    assert teacher.input == OWN
    assert teacher.architecture and teacher.architecture["size"] == 12
    learn(specs["baseline"])
    assert "input" not in json.loads(Path("artifacts/baseline/node.json").read_text())
    assert node.read("baseline").input is None


def test_an_input_that_is_that_of_the_data_is_none_and_changes_no_weight(specs: dict[str, Any]) -> None:
    data = prepared.read(DATA)
    same = {"size": data.size, "mean": [*data.mean], "std": [*data.std]}
    learn(specs["baseline"])
    before = node.read("baseline")
    learn(changed(specs["baseline"], input=same))
    assert node.read("baseline") == before


def test_predictions_are_those_of_the_plain_network_to_the_last_image(specs: dict[str, Any]) -> None:
    teacher, data = node.read("teacher"), prepared.read(DATA)
    model = load(teacher, CPU).eval()
    for split, stored_NC in read_predictions(teacher).items():
        with torch.no_grad():
            plain_NC = model(seen(getattr(data, split).images))
        torch.testing.assert_close(stored_NC, plain_NC, rtol=1e-5, atol=1e-5)
        assert torch.equal(stored_NC.argmax(1), plain_NC.argmax(1))
    assert node.read_numbers("teacher")["validation"]["accuracy"] > 0.5


def test_its_flops_are_of_its_own_size(specs: dict[str, Any]) -> None:
    teacher = node.read("teacher")
    assert node.read_numbers("teacher")["flops"] == cost.flops(load(teacher, CPU), 1, 12)


def test_its_labels_are_of_the_views_at_its_own_size_and_say_so(specs: dict[str, Any]) -> None:
    teacher, data = node.read("teacher"), prepared.read(DATA)
    header = json.loads((teacher.labels / "labels.json").read_text())
    assert header["input"] == OWN.as_json()
    training = specs["teacher"].training
    views = runs.training(specs["teacher"]).views
    drawn = draw(views, training.views_seed, str(teacher.labels_stream), 1, len(data.train), data.size)
    rows_N = torch.arange(len(data.train))
    images = torch.from_numpy(np.array(data.train.images))
    x_NCHW = augment(images, drawn, rows_N, torch.zeros(1), torch.ones(1))
    x_NCHW = (F.interpolate(x_NCHW, size=(12, 12), mode="bilinear", antialias=True) - 0.25) / 0.5
    of = with_seen_views(specs["direct"], len(data.train), len(data.classes))
    stored, _ = open_teacher(of, data, CPU)
    with torch.no_grad():
        z_NC = load(teacher, CPU).eval()(x_NCHW)
    torch.testing.assert_close(stored.labels.view(1), z_NC, rtol=1e-4, atol=1e-4)  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("own", [None, HALF])
def test_stored_labels_are_a_live_teacher_bit_for_bit_whatever_the_student_is_fed(
    own: dict[str, Any] | None, specs: dict[str, Any], tmp_path: Path
) -> None:
    of = changed(specs["direct"], input=own and Input(**own).as_json())
    stored, live = runs.training(of), runs.live(of)
    runs.run(stored, tmp_path / "stored")
    runs.run(live, tmp_path / "live")
    assert equal(tensors(stored), tensors(live))


@pytest.mark.parametrize("own", [None, HALF])
def test_teacher_and_student_are_shown_the_same_view_each_at_its_own_size(
    own: dict[str, Any] | None, specs: dict[str, Any]
) -> None:
    data = prepared.read(DATA)
    of = runs.live(changed(specs["direct"], input=own and Input(**own).as_json()))
    taught: list[Tensor] = []
    of.teacher.model.register_forward_pre_hook(lambda module, inputs: taught.append(inputs[0].clone()))  # pyright: ignore[reportAttributeAccessIssue]
    for student_BCHW, teacher_BCHW in zip(batches(of), taught, strict=True):
        assert teacher_BCHW.shape[-1] == 12
        count = len(student_BCHW)
        plain_BCHW = (student_BCHW * data.std[0] + data.mean[0]) if own is None else student_BCHW * 0.25 + 0.5
        shown_BCHW = teacher_BCHW[:count] * 0.5 + 0.25
        if own is None:
            bigger_BCHW = F.interpolate(plain_BCHW, size=(12, 12), mode="bilinear", antialias=True)
            torch.testing.assert_close(bigger_BCHW, shown_BCHW, rtol=1e-4, atol=1e-5)
        else:
            assert student_BCHW.shape[-1] == 4
            # Of two sizes of one view, the means are near.
            assert (plain_BCHW.mean((1, 2, 3)) - shown_BCHW.mean((1, 2, 3))).abs().max() < 0.03


def test_a_student_of_the_data_s_input_learns_the_same_beside_whatever_teacher(specs: dict[str, Any]) -> None:
    """Its own pixels are, bit for bit, those that it is fed where nobody has an input of its own."""
    beside, alone = batches(runs.live(specs["direct"])), batches(runs.training(specs["direct"]))
    assert all(torch.equal(a, b) for a, b in zip(beside, alone, strict=True))


def test_stopped_anywhere_it_ends_bit_for_bit_the_same(specs: dict[str, Any], tmp_path: Path) -> None:
    of = changed(specs["direct"], input=Input(**HALF).as_json())
    whole = runs.live(of)
    runs.run(whole, tmp_path / "whole")
    runs.stopped_after(runs.live(of), tmp_path / "part", 3)
    again = runs.live(of)
    runs.run(again, tmp_path / "part")
    assert equal(tensors(again), tensors(whole))


def test_members_of_an_ensemble_are_each_shown_the_same_view_as_they_are_fed(specs: dict[str, Any]) -> None:
    learn(specs["baseline"])
    members = ("teacher", "baseline")
    write_ensemble(replace(specs["ensemble"], members=members, labels=specs["teacher"].labels))
    data, made = prepared.read(DATA), node.read("ensemble")
    described = describe(runs.training(specs["teacher"]).views, 0, "ensemble", len(data.train))
    recorded = made.hashes["labels"]
    found = open_labels(made.labels, recorded=recorded, data_hash=data.hash, views=described, classes=data.classes)
    fed = (seen(data.train.images), seen(data.train.images, 8, data.mean[0], data.std[0]))
    with torch.no_grad():
        logits = [load(node.read(name), CPU).eval()(x_NCHW) for name, x_NCHW in zip(members, fed, strict=True)]
    mean_NC = torch.stack(logits).softmax(2).mean(0)
    torch.testing.assert_close(found.view(0).softmax(1), mean_NC, rtol=1e-3, atol=1e-4)


def test_a_network_larger_than_the_data_is_named_in_one_line(
    specs: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    learn(replace(changed(specs["baseline"], input={"size": 12}), node="method/large"))
    printed = capsys.readouterr().out
    assert printed.count("its input of 12 pixels is larger than the prepared images of 8") == 1
    assert node.read("method/large").input == replace(
        OWN, mean=(mean := prepared.read(DATA)).mean, std=mean.std, framing="crop", margin=0.0
    )


def test_an_imported_network_keeps_its_accuracy_to_the_last_image_with_its_own_normalisation(
    specs: dict[str, Any], tmp_path: Path
) -> None:
    source, data = node.read("teacher"), prepared.read(DATA)
    file = tmp_path / "model.safetensors"
    file.write_bytes(source.weights.read_bytes())
    change = {"teacher": {"weights": {"file": str(file), "sha256": files.sha256(file)}, "input": GIVEN}}
    accuracy = node.read_numbers("teacher")["test"]["accuracy"]
    own = runs.planned(tmp_path, change)["teacher"]
    learn(replace(own, node="method/own"))
    assert node.read_numbers("method/own")["test"]["accuracy"] == accuracy
    assert torch.equal(read_predictions(node.read("method/own"))["test"], read_predictions(source)["test"])
    learn(replace(changed(own, input=None), node="method/other"))
    with torch.no_grad():
        other_NC = load(source, CPU).eval()(seen(data.test.images, 8, data.mean[0], data.std[0]))
    torch.testing.assert_close(read_predictions(node.read("method/other"))["test"], other_NC, rtol=1e-4, atol=1e-4)


def test_a_study_measures_it_as_it_is_fed(specs: dict[str, Any]) -> None:
    own = {**specs, "baseline": changed(specs["baseline"], input=OWN.as_json())}
    data = prepared.read(DATA)
    found = study._run(own, "baseline", 1.0, 0, data, CPU)
    model = study._train(own, "baseline", 1.0, 0, data, CPU).model.eval()
    for split, accuracy in zip((data.validation, data.test), found, strict=True):
        with torch.no_grad():
            right_N = model(seen(split.images)).argmax(1) == torch.from_numpy(split.labels.copy())
        assert accuracy == pytest.approx(float(right_N.double().mean()))


@pytest.mark.long
def test_what_ships_takes_pixels_of_its_size_and_normalises_them_itself(specs: dict[str, Any], folder: Path) -> None:
    data = prepared.read(DATA)
    with chains.workshop(folder):
        change = {"from": "teacher"}
        order = ["thin", "tune", "int8"]
        specs = chains.ordered(folder, order, change)
        chains.write_specs(specs, chains.PLAN)
        slots = chains.graph.slots(chains.STAGES, "compress")[: len(order)]
        for slot in slots:
            chains.compress(slot)
        nodes = [node.read(f"compress/{slot}") for slot in slots]
        assert [each.input for each in nodes] == [OWN] * 3
        runtime = Runtime(nodes[-1].weights)
        card = runtime.card
        assert (card.size, card.mean, card.std, card.framing, card.margin) == (12, (0.25,), (0.5,), None, None)
        pixels_NCHW = seen(data.test.images, 12, 0.0, 1.0).numpy()
        assert np.array_equal(runtime.run(pixels_NCHW), runtime.logits(data.test.images, batch_size=len(pixels_NCHW)))
        against = node.read_numbers(nodes[-1].name)["report"]["against_torch"]
        assert against["agreement"] > 0.9


def test_a_network_that_no_longer_answers_as_it_did_is_refused(
    specs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, data = node.read("teacher"), prepared.read(DATA)
    model = load(teacher, CPU)
    check_answers(teacher, model, data, CPU)
    made = {"device": "cpu", "precision": "float32", "torch": "2.0", "timm": "1.0.0"}
    monkeypatch.setattr(answers, "made_by", lambda architecture, device: made | {"timm": "1.0.31"})
    exact = replace(teacher, made_by=made)
    check_answers(exact, model, data, CPU)
    head = [each for each in model.modules() if isinstance(each, torch.nn.Linear)][-1]
    with torch.no_grad():
        head.bias.add_(5e-4 * float(read_predictions(teacher)["validation"][:8].abs().max()))
    check_answers(replace(exact, made_by={**made, "device": "a card"}), model, data, CPU)
    with pytest.raises(UserError, match=r"teacher does not answer as when it was made.*0\.0001 is allowed \(timm was"):
        check_answers(exact, model, data, CPU)
    with torch.no_grad():
        head.bias.add_(10 * torch.arange(10.0))
    with pytest.raises(UserError, match=r"where 0\.1 is allowed \(in the same versions\)"):
        check_answers(teacher, model, data, CPU)
