"""Training on classes of unequal size: balanced batches and weighted labels, exact after any stop."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pipeline.base import files
from pipeline.base.paths import DATA
from pipeline.data import prepared
from pipeline.data.unequal import balanced_order, balanced_weights, class_weights, weighted_order
from pipeline.lineage import node
from pipeline.objectives.compose import Signals
from pipeline.training.balance import relative_gradients
from pipeline.training.ensemble import write_ensemble
from pipeline.training.learn import _validation, learn, open_teacher
from pipeline.training.loop import Training
from pipeline.training.seen_views import with_seen_views
from pipeline.training.teacher import StoredLabels
from tests.training.runs import CPU, EPOCHS, curves, equal, furnish, inside, run, stopped_after, tensors, training

BALANCED = {"sampling": "balanced"}
WEIGHTED = {"class_weights": "balanced"}


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory):
    with inside(tmp_path_factory.mktemp("unequal")):
        # Some labels are wrong, so that classes are of unequal size.
        yield furnish(Path.cwd(), {"data": {"label_noise": 0.3}})


def made(specs: dict[str, Any], name: str, recipe: dict[str, Any], **changes: Any) -> Training:
    return training(specs[name], recipe={**specs[name].training.recipe, **recipe}, **changes)


def labels_of(of: Training) -> np.ndarray:
    labels_N = np.asarray(of.data.train.labels)
    sizes = np.bincount(labels_N)
    assert sizes.max() > sizes.min(), "what is tested here would be the same without"
    return labels_N


def test_batches_are_those_of_the_balanced_order_in_the_same_sizes(specs: dict[str, Any]) -> None:
    plain, of = made(specs, "baseline", {}), made(specs, "baseline", BALANCED)
    labels_N = labels_of(of)
    assert of.sizes_S == plain.sizes_S
    for epoch in range(EPOCHS):
        of.at.epoch = plain.at.epoch = epoch
        rows_N = np.concatenate([each.rows.host_B for each in of._batches(0)])
        np.testing.assert_array_equal(rows_N, balanced_order(of.spec.seed, epoch, labels_N))
        counts = np.bincount(labels_N[rows_N])
        assert counts.max() - counts.min() <= 1
        assert [len(each.rows) for each in of._batches(0)] == of.sizes_S
        uniform_N = np.concatenate([each.rows.host_B for each in plain._batches(0)])
        assert sorted(uniform_N.tolist()) == list(range(len(labels_N)))


def test_each_row_keeps_its_own_view_and_its_stored_label(specs: dict[str, Any]) -> None:
    """Pixels and labels of a row are those that the plain order has of it in that epoch, each time that it comes."""
    plain, of = made(specs, "direct", {}), made(specs, "direct", BALANCED)
    assert isinstance(of.teacher, StoredLabels)
    for epoch in range(EPOCHS):
        of.at.epoch = plain.at.epoch = epoch
        seen = {}
        for each in plain._batches(0):
            assert each.teacher.t_BC is not None
            found = zip(each.rows.host_B, each.x_BCHW, each.teacher.t_BC, strict=True)
            seen |= {int(row): (x, t) for row, x, t in found}
        stored_NC, times = of.teacher.labels.view(of.view(epoch)), 0
        for each in of._batches(0):
            assert each.teacher.t_BC is not None
            for row, x_CHW, t_C in zip(each.rows.host_B.tolist(), each.x_BCHW, each.teacher.t_BC, strict=True):
                assert torch.equal(x_CHW, seen[row][0]) and torch.equal(t_C, seen[row][1])
                assert torch.equal(t_C, stored_NC[row])
                times += 1
        assert times == len(of.data.train) > len({*of.order(epoch).tolist()}), "some come twice"


def test_stored_labels_teach_what_a_live_teacher_teaches(specs: dict[str, Any], tmp_path: Path) -> None:
    spec = specs["direct"]
    of = made(specs, "direct", BALANCED)
    other = training(spec, teaching="live", teacher_batch=32, recipe={**spec.training.recipe, **BALANCED})
    run(of, tmp_path / "stored")
    run(other, tmp_path / "live")
    assert equal(tensors(of), tensors(other))


@pytest.mark.parametrize("recipe", [BALANCED, WEIGHTED], ids=str)
@pytest.mark.parametrize("name", ["direct", "mutual"])
def test_stopped_anywhere_it_ends_bit_for_bit_the_same(
    specs: dict[str, Any], tmp_path: Path, name: str, recipe: dict[str, Any]
) -> None:
    whole = made(specs, name, recipe)
    run(whole, tmp_path / "whole")
    for number in range(1, EPOCHS * whole.steps):
        of = made(specs, name, recipe)
        torch.manual_seed(number)
        stopped_after(of, tmp_path / "stopped", 1)
    last = made(specs, name, recipe)
    run(last, tmp_path / "stopped")
    assert equal(tensors(whole), tensors(last)) and curves(whole) == curves(last)
    plain = made(specs, name, {})
    run(plain, tmp_path / "plain")
    assert not equal(tensors(whole), tensors(plain)), "it counts"


def test_the_loss_of_a_batch_is_the_weighted_mean(specs: dict[str, Any]) -> None:
    """By hand, from the labels' counts to the loss of the first batch."""
    of = made(specs, "baseline", WEIGHTED)
    labels_N = labels_of(of)
    weight = {c: len(labels_N) / (10 * n) for c, n in enumerate(np.bincount(labels_N).tolist())}
    learner = of.learners[0]
    learner.train()
    batch = next(of._batches(0))
    y_B = torch.from_numpy(labels_N[batch.rows.host_B])
    assert torch.equal(batch.y_B, y_B) and batch.mixed is None
    z_BC = learner.model(batch.x_BCHW).detach()
    (found,) = learner.objective(Signals(z_BC, y_B)).values()
    each = [weight[int(y)] * float(F.cross_entropy(z[None], y[None])) for z, y in zip(z_BC, y_B, strict=True)]
    assert float(found) == pytest.approx(sum(each) / len(each), rel=1e-5)
    np.testing.assert_allclose([*weight.values()], class_weights(labels_N, 10), rtol=1e-6)


def test_a_batch_in_parts_has_the_gradient_of_the_whole(specs: dict[str, Any]) -> None:
    """As weights are not divided by those of the batch, parts need not have the same classes."""
    found = []
    for parts in (1, 3):
        of = made(specs, "baseline", {**WEIGHTED, "accumulate": parts, "lr": 1e-30, "weight_decay": 0.0})
        for module in of.model.modules():  # which sees a part at a time
            if isinstance(module, torch.nn.BatchNorm2d):
                of.learners[0].frozen.append(module)
        next(iter(of.epoch()))
        found.append([parameter.grad.clone() for parameter in of.model.parameters() if parameter.grad is not None])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_weights_are_not_saved_and_not_exported(specs: dict[str, Any]) -> None:
    plain, of = made(specs, "baseline", {}), made(specs, "baseline", WEIGHTED)
    assert of.trained.state_dict().keys() == plain.trained.state_dict().keys()
    relative = relative_gradients(of.learners, of.opening(2))
    assert relative[0]["cross_entropy"] != pytest.approx(1), "a term's strength is that of the term as it counts"
    assert relative_gradients(plain.learners, plain.opening(2))[0]["cross_entropy"] == pytest.approx(1)


def test_a_node_tells_the_figure_that_decides(specs: dict[str, Any]) -> None:
    """Its weights, labels and predictions are those that it has without: what is told of them is another figure."""
    folder = Path("artifacts/baseline")
    left = {}
    for select in (None, "macro_f1", "nll"):
        learn(replace(specs["baseline"], select=select))
        written, figures = node.read("baseline"), node.read_numbers("baseline")["validation"]
        assert written.select == select
        assert written.chain == (("baseline", figures[select or "accuracy"]),)
        left[select] = {path: files.sha256(path) for path in folder.rglob("*") if path.is_file()}
    different = {path.name for path in left[None] if len({each[path] for each in left.values()}) > 1}
    assert different == {"node.json"}


def test_an_ensemble_tells_it_too(specs: dict[str, Any]) -> None:
    for name in ("born_again/g1", "born_again/g2"):
        learn(replace(specs["baseline"], node=name))
    write_ensemble(replace(specs["ensemble"], members=("born_again/g1", "born_again/g2"), select="nll"))
    figures = node.read_numbers("ensemble")["validation"]
    assert node.read("ensemble").chain == (("ensemble", figures["nll"]),) and node.read("ensemble").select == "nll"


@pytest.mark.parametrize("select", [None, "nll"])
def test_validation_measures_what_decides(specs: dict[str, Any], select: Any) -> None:
    of = made(specs, "baseline", {}, select=select)
    found = _validation(of)(of.learners[0].final)
    assert [*found] == ["accuracy", *([select] if select else [])]
    assert 0 <= found["accuracy"] <= 1 and found.get("nll", 2.0) > 1


def weighted(specs: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch, **recipe: Any) -> Training:
    """Of data in which each image has a weight of its own."""
    data = prepared.read(DATA)
    data = replace(data, weights=np.arange(len(data.train), dtype=np.float64) % 4)
    monkeypatch.setattr(prepared, "read", lambda folder: data)
    return made(specs, name, recipe)


@pytest.mark.parametrize("recipe", [{}, BALANCED, WEIGHTED], ids=str)
def test_images_are_drawn_by_their_weights_and_a_stop_changes_nothing(
    specs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: dict[str, Any]
) -> None:
    plain = made(specs, "direct", recipe)
    whole = weighted(specs, "direct", monkeypatch, **recipe)
    weights_N, labels_N = whole.data.weights, labels_of(whole)
    assert weights_N is not None and whole.sizes_S == plain.sizes_S
    for epoch in range(EPOCHS):
        rows_N = whole.order(epoch)
        asked_N = balanced_weights(weights_N, labels_N) if recipe == BALANCED else weights_N
        np.testing.assert_array_equal(rows_N, weighted_order(whole.spec.seed, epoch, asked_N))
    if recipe == WEIGHTED:
        expected_C = class_weights(labels_N, len(whole.data.classes), weights_N)
        found_C = whole.learners[0].objective.class_weights_C
        assert found_C is not None and torch.equal(found_C, torch.from_numpy(expected_C))
    run(whole, tmp_path / "whole")
    stopped_after(weighted(specs, "direct", monkeypatch, **recipe), tmp_path / "stopped", EPOCHS * whole.steps // 2)
    last = weighted(specs, "direct", monkeypatch, **recipe)
    run(last, tmp_path / "stopped")
    assert equal(tensors(whole), tensors(last)) and curves(whole) == curves(last)
    run(plain, tmp_path / "plain")
    assert not equal(tensors(whole), tensors(plain)), "they count"


def test_weights_are_those_of_the_rows_that_it_learns_from(specs: dict[str, Any]) -> None:
    data = prepared.read(DATA)
    labels_N = np.array(data.train.labels)
    labels_N[::3] = -1
    weights_N = np.where(labels_N < 0, 1000.0, 1.0 + np.arange(len(labels_N)) % 2)
    data = replace(data, train=replace(data.train, labels=labels_N), weights=weights_N)
    spec = with_seen_views(specs["baseline"], len(data.train), len(data.classes))
    of = Training(spec.training, data, open_teacher(spec, data, CPU)[0], CPU)
    rows_N = np.concatenate([of.order(epoch) for epoch in range(40)])
    assert len(of.order(0)) == sum(of.sizes_S) and (labels_N[rows_N] >= 0).all()
    light, heavy = (len(rows_N[weights_N[rows_N] == weight]) / (weights_N == weight).sum() for weight in (1, 2))
    assert heavy / light == pytest.approx(2, rel=0.02)
