"""Who learns from hard labels alone never meets an image without one; who does not, learns from all."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.config.term import needs_labels
from pipeline.data import prepared
from pipeline.data.prepared import Prepared, Split
from pipeline.data.render import mix
from pipeline.training.balance import relative_gradients
from pipeline.training.learn import open_teacher
from pipeline.training.loop import Training
from pipeline.training.seen_views import with_seen_views
from pipeline.training.teacher import NoTeacher
from tests.training import runs
from tests.training.runs import CPU, EPOCHS, changed, curves, equal, run, stopped_after, tensors

KNOWN = 60  # of 100 training images: those that come first


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with runs.inside(tmp_path_factory.mktemp("learned")):
        yield runs.furnish(Path.cwd())


def bare(data: Prepared, known: int = KNOWN) -> Prepared:
    """The data, with no label from a row on."""
    labels_N = np.array(data.train.labels)
    labels_N[known:] = -1
    return replace(data, train=replace(data.train, labels=labels_N))


def cut(data: Prepared, known: int = KNOWN) -> Prepared:
    """The data without those rows."""
    train = Split(np.asarray(data.train.images)[:known], np.array(data.train.labels)[:known])
    return replace(data, train=train)


def made(spec: Any, data: Prepared, **recipe: Any) -> Training:
    spec = changed(spec, recipe={**spec.training.recipe, **recipe})
    spec = with_seen_views(spec, 100, len(data.classes))
    return Training(spec.training, data, open_teacher(spec, data, CPU)[0], CPU)


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("teacher", {}),
        ("baseline", {}),
        ("baseline", {"class_weights": "balanced"}),
        ("baseline", {"sampling": "balanced"}),
        ("baseline", {"freeze": "embedding"}),
        ("baseline", {"batch_size": 7}),
    ],
    ids=str,
)
def test_hard_labels_alone_train_bit_for_bit_as_without_the_others(
    specs: dict[str, Any], tmp_path: Path, name: str, recipe: dict[str, Any]
) -> None:
    found = []
    for number, data in enumerate((bare(prepared.read(DATA)), cut(prepared.read(DATA)))):
        of = made(specs[name], data, **recipe)
        assert sum(of.sizes_S) == KNOWN and of.all_labelled
        assert sorted({*of.order(0).tolist()} | {*of.order(1).tolist()}) <= [*range(KNOWN)]
        run(of, tmp_path / str(number))
        found.append((tensors(of), curves(of)))
    assert equal(found[0][0], found[1][0]) and found[0][1] == found[1][1]


@pytest.mark.parametrize("sampling", ["uniform", "balanced"])
def test_an_epoch_has_labelled_rows_alone_wherever_they_lie(specs: dict[str, Any], sampling: str) -> None:
    data = prepared.read(DATA)
    labels_N = np.array(data.train.labels)
    labels_N[::3] = -1
    of = made(specs["baseline"], replace(data, train=replace(data.train, labels=labels_N)), sampling=sampling)
    rows = np.empty(0, dtype=np.int64)
    for epoch in range(EPOCHS):
        rows = of.order(epoch)
        assert len(rows) == sum(of.sizes_S) == (labels_N >= 0).sum() and (labels_N[rows] >= 0).all()
    if sampling == "balanced":
        times_C = np.bincount(labels_N[rows])
        assert times_C.max() - times_C.min() <= 1
    else:
        assert sorted(rows.tolist()) == np.flatnonzero(labels_N >= 0).tolist()


def test_a_linear_probe_looks_at_labelled_rows_alone(specs: dict[str, Any], tmp_path: Path) -> None:
    """Which of the rows have a label decides no place among the features that are kept."""
    data = prepared.read(DATA)
    labels_N = np.array(data.train.labels)
    labels_N[::3] = -1
    data = replace(data, train=replace(data.train, labels=labels_N))
    of = made(specs["baseline"], data, freeze="embedding")
    assert of.probe is not None
    _, *others = of._batches(0)
    (kept,) = of.probe._kept.values()
    assert len(kept) == (labels_N >= 0).sum() == sum(of.sizes_S)
    of.probe._kept.clear()
    of.probe.most = 0
    again = [*of._batches(0)][1]
    np.testing.assert_array_equal(again.rows.host_B, others[0].rows.host_B)
    np.testing.assert_allclose(others[0].x_BCHW.numpy(), again.x_BCHW.numpy(), rtol=1e-5, atol=1e-6)


def test_stopped_anywhere_it_ends_bit_for_bit_the_same(specs: dict[str, Any], tmp_path: Path) -> None:
    data = bare(prepared.read(DATA))
    whole = made(specs["baseline"], data, batch_size=16)
    run(whole, tmp_path / "whole")
    for _ in range(1, EPOCHS * whole.steps, 2):
        stopped_after(made(specs["baseline"], data, batch_size=16), tmp_path / "stopped", 2)
    last = made(specs["baseline"], data, batch_size=16)
    run(last, tmp_path / "stopped")
    assert equal(tensors(whole), tensors(last)) and curves(whole) == curves(last)


ALONE = {"cross_entropy", "dkd", "cwtm"}


def test_every_method_that_has_a_term_without_hard_labels_learns_from_all(specs: dict[str, Any]) -> None:
    data = bare(prepared.read(DATA))
    seen = set()
    for name, spec in specs.items():
        objective = getattr(getattr(spec, "training", None), "objective", None)
        if not objective or not name.startswith(("method/", "direct", "student", "teacher", "baseline", "mutual")):
            continue
        on_hard_labels = {*objective} <= ALONE
        assert needs_labels(objective) == on_hard_labels, name
        seen.add(on_hard_labels)
        if name in ("direct", "mutual", "method/dkd", "method/cwtm", "method/rkd"):
            of = made(spec, data)
            assert len(of.rows_N) == sum(of.sizes_S) == (KNOWN if on_hard_labels else 100), name
            assert of.all_labelled == on_hard_labels
            assert len({*of.order(0).tolist()}) == len(of.rows_N)
    assert seen == {True, False}


def test_one_of_several_networks_that_learns_from_all_is_enough(specs: dict[str, Any]) -> None:
    spec = specs["mutual"]
    members = spec.training.members
    hard = replace(members[0], objective={"cross_entropy": members[0].objective["cross_entropy"]})
    data = bare(prepared.read(DATA))
    for found, count in (((hard, members[1]), 100), ((hard, hard), KNOWN)):
        training = with_seen_views(spec, 100, 10).training
        of = Training(replace(training, members=found, objective=found[0].objective), data, NoTeacher(), CPU)
        assert sum(of.sizes_S) == count


@pytest.mark.parametrize("views", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}], ids=str)
def test_hard_labels_alone_are_mixed_with_labelled_rows_only(specs: dict[str, Any], views: dict[str, float]) -> None:
    """A row whose partner has no label is left alone; who learns from all has the view as it is drawn."""
    data = bare(prepared.read(DATA))
    found = {}
    for name in ("baseline", "mutual"):
        of = made(changed(specs[name], views={**specs[name].training.views, **views}), data)
        assert of.all_labelled == (name == "baseline")
        mixed = of._drawn(1).mixed
        assert mixed is not None
        found[name] = mixed
    few, every = found["baseline"], found["mutual"]
    known_N = every.partner_N < KNOWN
    assert 0 < int(known_N[:KNOWN].sum()) < KNOWN
    assert torch.equal(few.partner_N[known_N], every.partner_N[known_N])
    assert torch.equal(few.share_N[known_N], every.share_N[known_N])
    assert torch.equal(few.partner_N[~known_N], torch.arange(100)[~known_N])
    assert (few.share_N[~known_N] == 1).all()
    images = torch.rand(100, 1, 8, 8) * 255
    alone = mix(images, images[few.partner_N], few)
    torch.testing.assert_close(alone[~known_N], images[~known_N], rtol=1e-6, atol=1e-4)
    assert not torch.allclose(alone[known_N], images[known_N])


@pytest.mark.parametrize("known", [2, 10, 60])
def test_the_batches_that_balance_have_labels_however_few_there_are(specs: dict[str, Any], known: int) -> None:
    """Of the epochs that the training has: of no other are there stored labels."""
    data = bare(prepared.read(DATA), known)
    spec = changed(specs["direct"], objective={"cross_entropy": {"weight": 1.0}, "soft_targets": {"balance": 1.0}})
    spec = changed(spec, objective={**spec.training.objective, "soft_targets": {"balance": 1.0, "temperature": 4.0}})
    of = made(spec, data, batch_size=5)
    at = of.at
    opening = [*of.opening(8)]
    have = [any(row < known for row in part) for epoch in range(EPOCHS) for part in of.order(epoch).reshape(20, 5)]
    assert len(opening) == min(8, sum(have)) and all(bool((batch.y_B >= 0).any()) for batch in opening)
    assert (len(opening) < 8) == (known == 2) and (sum(have[:8]) < 8) == (known < 60)
    assert of.at is at
    strengths = relative_gradients(of.learners, of.opening(8))
    assert strengths[0]["soft_targets"] > 0
    next(iter(of.epoch()))
    assert of.balanced()["soft_targets"] > 0


def test_without_any_label_the_balance_is_refused_and_not_looked_for_for_ever(specs: dict[str, Any]) -> None:
    of = made(specs["direct"], bare(prepared.read(DATA), 0))
    assert [*of.opening(8)] == []
    with pytest.raises(UserError, match="no image of the first batches has a label"):
        relative_gradients(of.learners, of.opening(8))
