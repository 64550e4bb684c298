"""Training on images of which some have no hard label: they learn from soft labels only, exact after any stop."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.data import prepared
from pipeline.data.unequal import balanced_order, class_weights
from pipeline.objectives.hard_labels import Mixed, counts
from pipeline.training.balance import relative_gradients
from pipeline.training.learn import open_teacher
from pipeline.training.loop import Training
from pipeline.training.seen_views import with_seen_views
from tests.training import runs
from tests.training.runs import CPU, EPOCHS, changed, curves, equal, run, stopped_after, tensors

HARD = {"cross_entropy": {"weight": 1.0}}
# The term on soft labels has no gradient, and lets rows without a label come.
HARD_ON_ALL = {**HARD, "soft_targets": {"weight": 0.0, "temperature": 4.0}}


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with runs.inside(tmp_path_factory.mktemp("unlabelled")):
        yield runs.furnish(Path.cwd())


def training(spec: Any, unlabelled: np.ndarray | None = None, recipe: dict[str, Any] | None = None) -> Training:
    """As of `runs`, with no label at some rows: by default at two of three."""
    data = prepared.read(DATA)
    labels_N = np.array(data.train.labels)
    labels_N[np.arange(len(labels_N)) % 3 > 0 if unlabelled is None else unlabelled] = -1
    data = replace(data, train=replace(data.train, labels=labels_N))
    spec = changed(spec, recipe={**spec.training.recipe, **(recipe or {})})
    spec = with_seen_views(spec, len(data.train), len(data.classes))
    return Training(spec.training, data, open_teacher(spec, data, CPU)[0], CPU)


def gradients(of: Training) -> list[Tensor]:
    return [p.grad.clone() for p in of.model.parameters() if p.grad is not None]


def held_still(spec: Any, **recipe: Any) -> Training:
    """A training whose step changes nothing, and whose BatchNorm layers do not see which images are in a part."""
    of = training(spec, recipe={"lr": 1e-30, "weight_decay": 0.0, **recipe})
    of.learners[0].frozen += [each for each in of.model.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    return of


@pytest.mark.parametrize(
    ("name", "recipe"),
    [("direct", {}), ("direct", {"class_weights": "balanced"}), ("mutual", {"sampling": "balanced"})],
    ids=str,
)
def test_stopped_anywhere_it_ends_bit_for_bit_the_same(
    specs: dict[str, Any], tmp_path: Path, name: str, recipe: dict[str, Any]
) -> None:
    whole = training(specs[name], recipe=recipe)
    run(whole, tmp_path / "whole")
    for number in range(1, EPOCHS * whole.steps, 2):
        torch.manual_seed(number)
        stopped_after(training(specs[name], recipe=recipe), tmp_path / "stopped", 2)
    last = training(specs[name], recipe=recipe)
    run(last, tmp_path / "stopped")
    assert equal(tensors(whole), tensors(last)) and curves(whole) == curves(last)


def test_the_loss_is_the_mean_over_labelled_rows(specs: dict[str, Any]) -> None:
    of = held_still(changed(specs["direct"], objective={**specs["direct"].training.objective, **HARD}))
    learner = of.learners[0]
    learner.train()
    batch = next(of._batches(0))
    z_BC = learner.model(batch.x_BCHW).detach()
    next(iter(of.epoch()))
    y_B = torch.from_numpy(np.array(of.data.train.labels))[batch.rows.host_B]
    known_B = y_B >= 0
    assert 0 < int(known_B.sum()) < len(y_B)
    losses = dict(zip(learner.names, of.losses_SKL[0, 0].tolist(), strict=False))
    assert losses["cross_entropy"] == pytest.approx(float(F.cross_entropy(z_BC[known_B], y_B[known_B])), rel=1e-5)
    temperature, t_BC = learner.objective.terms["soft_targets"].loss.keywords["temperature"], batch.teacher.t_BC  # pyright: ignore[reportAttributeAccessIssue,reportFunctionMemberAccess]
    kl = F.kl_div(
        (z_BC / temperature).log_softmax(1), (t_BC / temperature).log_softmax(1), reduction="batchmean", log_target=True
    )
    assert losses["soft_targets"] == pytest.approx(float(temperature**2 * kl), rel=1e-4), "of all rows"


@pytest.mark.parametrize("mixes", [False, True])
@pytest.mark.parametrize("recipe", [{}, {"class_weights": "balanced"}], ids=str)
def test_a_batch_in_parts_has_the_gradient_of_the_whole(
    specs: dict[str, Any], recipe: dict[str, Any], mixes: bool
) -> None:
    """Parts have labels in unlike numbers, or none."""
    found, losses = [], []
    for parts in (1, 5):
        of = held_still(changed(specs["direct"], objective=HARD_ON_ALL), accumulate=parts, **recipe)
        of.learners[0].train()
        batch = next(of._batches(0))
        y_B = batch.y_B.sort().values  # the first parts have no label
        mixed = None
        if mixes:
            share_B = torch.rand(len(y_B), generator=torch.Generator().manual_seed(0))
            mixed = Mixed(y_B.flip(0).clamp(min=0), share_B)
        of._step(0, replace(batch, y_B=y_B, mixed=mixed))
        found.append(gradients(of))
        losses.append(of.losses_SKL[0, 0, :2])
    assert any(bool(grad.any()) for grad in found[0])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-6)


def test_without_labels_nothing_is_learned_from_hard_ones(specs: dict[str, Any], tmp_path: Path) -> None:
    of = held_still(changed(specs["direct"], objective=HARD_ON_ALL))
    of.labels_N.fill_(-1)
    of.learners[0].train()
    next(iter(of.epoch()))
    assert float(of.losses_SKL[0, 0, 0]) == 0
    assert all(not grad.any() for grad in gradients(of))


def test_all_rows_teach_by_soft_labels(specs: dict[str, Any], tmp_path: Path) -> None:
    """Where no term is on hard labels, a training is that with all labels, bit for bit."""
    objective = {"soft_targets": specs["direct"].training.objective["soft_targets"]}
    found = []
    for some in (None, np.zeros(len(prepared.read(DATA).train), bool)):
        of = training(changed(specs["direct"], objective=objective), some)
        run(of, tmp_path / str(some is None))
        found.append((tensors(of), curves(of)))
    assert equal(found[0][0], found[1][0]) and found[0][1] == found[1][1]


def test_a_training_with_all_labels_hands_no_signal(specs: dict[str, Any]) -> None:
    of = training(specs["direct"], np.zeros(len(prepared.read(DATA).train), bool))
    assert of.all_labelled and not training(specs["direct"]).all_labelled
    taken = []
    objective = of.learners[0].objective
    objective.register_forward_pre_hook(lambda module, given: taken.append(given[0]))
    next(iter(of.epoch()))
    assert [(each.l_B, each.mixed) for each in taken] == [(None, None)]


def test_class_weights_and_order_are_those_of_labelled_rows(specs: dict[str, Any]) -> None:
    spec = changed(specs["direct"], objective=HARD_ON_ALL)
    of = training(spec, recipe={"class_weights": "balanced"})
    labels_N = np.asarray(of.data.train.labels)
    weights_C = of.learners[0].objective.class_weights_C
    assert weights_C is not None
    np.testing.assert_array_equal(weights_C.numpy(), class_weights(labels_N[labels_N >= 0], 10))
    of = training(spec, recipe={"sampling": "balanced"})
    np.testing.assert_array_equal(of.order(0), balanced_order(of.spec.seed, 0, labels_N))
    assert sorted(set(np.flatnonzero(labels_N < 0)) - set(of.order(0).tolist())) == []


def test_batches_without_a_label_do_not_balance(specs: dict[str, Any]) -> None:
    """The measure is that of the batches that have some, over their labelled rows; without any it is refused."""
    spec = changed(specs["direct"], objective={**HARD, **specs["direct"].training.objective})
    of = training(spec)
    first, second, third = [*of.opening(3)]
    blank = replace(second, y_B=torch.full_like(second.y_B, -1))
    with_blank = relative_gradients(of.learners, [first, blank, third])[0]
    assert with_blank == relative_gradients(of.learners, [first, third])[0]
    assert with_blank["cross_entropy"] == pytest.approx(1)
    with pytest.raises(UserError, match="no image of the first batches has a label: give weight"):
        relative_gradients(of.learners, [blank])
    x_BCHW, y_B, teacher = first.x_BCHW, first.y_B, first.teacher
    known_B = y_B >= 0
    learner = of.learners[0]
    learner.train()
    hard, soft = [], []
    for into, loss in (
        (hard, lambda z_BC: F.cross_entropy(z_BC[known_B], y_B[known_B])),
        (soft, lambda z_BC: learner.objective.terms["soft_targets"].loss(z_BC, teacher.t_BC)),
    ):
        learner.optimizer.zero_grad(set_to_none=True)
        loss(learner.forward(x_BCHW)).backward()
        into += gradients(of)
    squares = [sum(float(each.double().square().sum()) for each in grads) for grads in (soft, hard)]
    measured = relative_gradients(of.learners, [first])[0]["soft_targets"]
    assert measured == pytest.approx((squares[0] / squares[1]) ** 0.5, rel=1e-4)


@pytest.mark.parametrize("name", ["dkd", "cwtm"])
def test_all_terms_on_hard_labels_train(specs: dict[str, Any], tmp_path: Path, name: str) -> None:
    spec = specs[f"method/{name}"]
    of = training(spec)
    run(of, tmp_path)
    assert all(np.isfinite([row[f"loss_{name}"] for row in curves(of)[0]]))
    assert counts(of.labels_N).mean() == pytest.approx(1)
