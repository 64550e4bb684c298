"""Trainings on photographs that are stored encoded, mixed, under a teacher of another size than the student's."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pipeline.base.paths import DATA
from pipeline.compression.work import card_of
from pipeline.data import prepared
from pipeline.data.encoded import EncodedImages
from pipeline.data.views import draw
from pipeline.labels.labeller import evaluation_batch, forward_fixed
from pipeline.lineage import node
from pipeline.lineage.predictions import read_predictions
from pipeline.models.shown import Shown
from pipeline.training.balance import relative_gradients
from pipeline.training.learn import answering, load
from pipeline.training.teacher import LiveTeacher, StoredLabels
from tests.data.pictures import file, photograph
from tests.training import runs
from tests.training.runs import CPU, EPOCHS, changed, curves, equal, run, stopped_after, tensors, training

EDGE, LARGE = 12, 20
MIXED = {"preset": "strong", "shift": 1, "mixup": 0.4, "cutmix": 1.0}
BOTH = {"cross_entropy": {"weight": 0.5}, "soft_targets": {"weight": 0.5, "temperature": 4.0}}


def photographs(root: Path) -> None:
    """Three classes of 20, of all shapes."""
    for label, name in enumerate("abc"):
        (root / name).mkdir(parents=True)
        for number in range(20):
            size = (26 + 2 * number, 24) if number % 2 else (24 + label, 23 + number)
            (root / name / f"{number:02}.jpg").write_bytes(file(photograph(100 * label + number, size)))


@pytest.fixture(scope="module", params=["encoded", "pixels"])
def specs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with runs.inside(tmp_path_factory.mktemp("renderings")):
        photographs(Path("photographs"))
        data = {"source": "imagefolder", "root": "photographs", "size": EDGE, "storage": request.param}
        change = {
            "data": {**data, "per_class": None},
            "views": MIXED,
            "teacher": {
                "input": {"size": LARGE, "mean": [0.5] * 3, "std": [0.3] * 3, "framing": "pad", "margin": 0.1},
                "architecture": {"width": 4},
            },
            "training": {"epochs": EPOCHS, "batch_size": 8},
            "method": dict.fromkeys(("dkd", "cwtm")),
        }
        yield runs.furnish(Path.cwd(), change)


def test_evaluation_frames_images_for_the_network(specs: dict[str, Any]) -> None:
    """Predictions are of the clean images at the network's own size, as they are after each epoch, too."""
    data, teacher = prepared.read(DATA), node.read("teacher")
    assert teacher.input is not None and teacher.input.size == LARGE
    of = training(specs["teacher"])
    stored_NC = read_predictions(teacher)["validation"]
    model = load(teacher, CPU)
    assert torch.equal(answering(of, data.validation)(model.eval(), 0), stored_NC)
    if isinstance(images := data.validation.images, EncodedImages):
        rendering = teacher.input.rendering
        mean_C, std_C = (torch.tensor(each)[:, None, None] for each in (teacher.input.mean, teacher.input.std))
        drawn = draw(of.views, 0, "labels", 0, len(images), EDGE)
        from pipeline.data.render import render

        pictures = [images.picture(row) for row in range(len(images))]
        x_NCSS = render(pictures, drawn, torch.arange(len(images)), rendering.size, rendering.framing, rendering.margin)
        with torch.no_grad():
            z_NC = forward_fixed(model, (x_NCSS.float() / 255 - mean_C) / std_C, evaluation_batch(model, 3, LARGE))
        assert torch.equal(z_NC, stored_NC)


def test_what_ships_frames_files_as_its_network_was_shown_images(specs: dict[str, Any]) -> None:
    """Images that are stored as pixels are their middle squares, whatever the framing of a network."""
    data = prepared.read(DATA)
    teacher = node.read("teacher")
    card, plain = card_of(teacher, data), card_of(replace(teacher, input=None), data)
    assert (card.size, card.mean) == (LARGE, (0.5,) * 3)
    is_framed = isinstance(data.train.images, EncodedImages)
    assert (card.framing, card.margin) == (("pad", 0.1) if is_framed else (None, None))
    assert (plain.size, plain.framing, plain.margin) == (EDGE, None, None)


def test_a_student_learns_from_the_answer_to_its_own_mixed_crop_and_from_the_mixture(specs: dict[str, Any]) -> None:
    of = training(changed(specs["direct"], objective=BOTH))
    assert isinstance(of.teacher, StoredLabels)
    data, teacher = of.data, node.read("teacher")
    labels_N = torch.from_numpy(np.array(data.train.labels))
    for epoch in range(EPOCHS):
        of.at.epoch = epoch
        v = of.view(epoch)
        drawn = draw(of.views, of.spec.views_seed, of.stream, v, len(data.train), EDGE, data.train.aspect_N)
        assert drawn.mixed is not None
        for batch in of._batches(0):
            rows_B, mixed = batch.rows.device_B, batch.mixed
            assert mixed is not None and batch.teacher.t_BC is not None
            assert torch.equal(mixed.y_B, labels_N[drawn.mixed.partner_N[rows_B]])
            assert torch.equal(mixed.share_B, drawn.mixed.share_N[rows_B])
            assert torch.equal(batch.teacher.t_BC, of.teacher.labels.rows(v, batch.rows.host_B))
            if not isinstance(images := data.train.images, EncodedImages):
                continue
            # Twice the same crop and mixture: at 12 pixels for the student, at 20 for the teacher.
            own = Shown([None], data.mean, data.std, CPU.where)
            rendering, aspect_N = data.rendering(None), images.sizes[:, 0] / images.sizes[:, 1]
            assert rendering is not None
            args = (of.views, of.spec.views_seed, of.stream, v, aspect_N)
            x_BCSS = whole(images, *args, rendering)[rows_B]
            assert torch.equal(batch.x_BCHW, (x_BCSS / 255 - own.mean_C[:, None, None]) / own.std_C[:, None, None])
            large = teacher.input
            assert large is not None
            mean_C, std_C = (torch.tensor(each)[:, None, None] for each in (large.mean, large.std))
            with torch.no_grad():
                t_BC = load(teacher, CPU).eval()((whole(images, *args, large.rendering)[rows_B] / 255 - mean_C) / std_C)
            torch.testing.assert_close(batch.teacher.t_BC, t_BC, rtol=1e-4, atol=1e-5)


def whole(
    images: EncodedImages, views: Any, seed: int, stream: str, v: int, aspect_N: np.ndarray, rendering: Any
) -> Any:
    from pipeline.data.render import mix, render

    drawn = draw(views, seed, stream, v, len(images), EDGE, aspect_N)
    rows = torch.arange(len(images))
    found = render(
        [images.picture(int(row)) for row in rows], drawn, rows, rendering.size, rendering.framing, rendering.margin
    )
    assert drawn.mixed is not None
    return mix(found, found[drawn.mixed.partner_N], drawn.mixed)


@pytest.mark.parametrize("objective", [None, BOTH], ids=["soft", "both"])
def test_stored_labels_train_as_a_live_teacher_does_bit_for_bit(
    specs: dict[str, Any], tmp_path: Path, objective: dict[str, Any] | None
) -> None:
    spec = changed(specs["direct"], objective=objective) if objective else specs["direct"]
    stored = training(spec)
    beside = training(spec, teaching="live", teacher_batch=spec.labels.batch_size)
    assert isinstance(beside.teacher, LiveTeacher)
    for each, folder in ((stored, "stored"), (beside, "live")):
        run(each, tmp_path / folder)
    assert equal(tensors(stored), tensors(beside)) and curves(stored) == curves(beside)


@pytest.mark.parametrize("steps", [2, 7])
def test_a_training_that_is_stopped_in_an_epoch_ends_bit_for_bit_as_one_that_is_not(
    specs: dict[str, Any], tmp_path: Path, steps: int
) -> None:
    spec = changed(specs["direct"], objective=BOTH)
    whole = training(spec)
    run(whole, tmp_path / "whole")
    stopped_after(training(spec), tmp_path / "stopped", steps)
    last = training(spec)
    run(last, tmp_path / "stopped")
    assert equal(tensors(whole), tensors(last)) and curves(whole) == curves(last)


def test_the_loss_on_hard_labels_is_that_of_the_mixture(specs: dict[str, Any]) -> None:
    of = training(changed(specs["baseline"], objective={"cross_entropy": {"weight": 1.0}}))
    learner = of.learners[0]
    learner.train()
    batch = next(of._batches(0))
    assert batch.mixed is not None
    z_BC = learner.model(batch.x_BCHW).detach()
    own_B, partner_B = (F.cross_entropy(z_BC, y_B, reduction="none") for y_B in (batch.y_B, batch.mixed.y_B))
    share_B = batch.mixed.share_B
    next(iter(of.epoch()))
    expected = float((share_B * own_B + (1 - share_B) * partner_B).mean())
    assert float(of.losses_SKL[0, 0, 0]) == pytest.approx(expected, rel=1e-5)
    assert expected != pytest.approx(float(own_B.mean()), rel=1e-3)
    relative = relative_gradients(of.learners, of.opening(2))
    assert relative[0]["cross_entropy"] == pytest.approx(1), "balance measures by the mixture, too"
