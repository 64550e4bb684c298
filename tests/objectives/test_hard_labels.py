"""Rows without a hard label, and rows that are mixed of two images: what every term on hard labels makes of them."""

import itertools
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.base.errors import UserError
from pipeline.config import signature
from pipeline.config.term import check_mixing, needs_one_class
from pipeline.objectives import cwtm, dkd
from pipeline.objectives.compose import Objective, Signals
from pipeline.objectives.hard_labels import Mixed, counts
from tests import reference
from tests.objectives.losses import CASES, FOLDER, LOGITS, NAMES, loss, signals, taken
from tests.objectives.test_losses import value_and_gradient
from tests.training.waits import waits

NEEDS = {name: signature.needs(FOLDER / f"{name}.py", name) for name in NAMES}
HARD = [case for case in [*CASES, *LOGITS] if "y_B" in NEEDS[case[0]]]
SOFT = [case for case in [*CASES, *LOGITS] if "y_B" not in NEEDS[case[0]]]
SMOOTHINGS = [0.0, 0.1, 1.0]


def some_unlabelled(rows: int = 9, classes: int = 5, seed: int = 0) -> dict[str, Any]:
    """A batch of which three rows have no label."""
    batch = signals(rows, classes, seed)
    batch["y_B"][[0, 4, rows - 1]] = -1
    return batch | {"l_B": counts(batch["y_B"])}


def mixed_batch(rows: int = 9, classes: int = 5, seed: int = 0) -> dict[str, Any]:
    """A batch of mixed rows, of which one is itself alone and one its partner alone."""
    generator = torch.Generator().manual_seed(seed + 100)
    share_B = torch.rand(rows, generator=generator)
    share_B[1], share_B[2] = 1.0, 0.0
    mixed = Mixed(torch.randint(classes, (rows,), generator=generator), share_B)
    return signals(rows, classes, seed) | {"mixed": mixed}


def exact(batch: dict[str, Any]) -> dict[str, Any]:
    """In float64."""
    return {key: x.double() if isinstance(x, Tensor) and x.is_floating_point() else x for key, x in batch.items()}


def compare(name: str, batch: dict[str, Any], settings: dict[str, Any]) -> None:
    """Value and gradient are those of the slow twin."""
    value, grad_BC = value_and_gradient(loss(name), name, batch, settings)
    twin, twin_grad_BC = value_and_gradient(getattr(reference, name), name, exact(batch), settings)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), twin, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grad_BC.double(), twin_grad_BC, rtol=1e-5, atol=1e-5)


def test_the_terms_on_hard_labels_are_known() -> None:
    """Each takes rows without a label; a new one is tried here as well."""
    assert {name for name, needs in NEEDS.items() if "y_B" in needs} == {"cross_entropy", "cwtm", "dkd"}
    assert all("l_B" in NEEDS[name] for name, _ in HARD)
    assert needs_one_class({name: {} for name in NAMES}) == ["cwtm", "dkd"]


def plain(name: str, batch: dict[str, Any], settings: dict[str, Any]) -> Tensor:
    """The loss of a batch of labelled, unmixed rows in torch's own words, as it was before rows could be others."""
    z_BC, t_BC, y_B, w_B = batch["z_BC"], batch["t_BC"], batch["y_B"], batch.get("w_B")
    if name == "cross_entropy":
        if w_B is None:
            return F.cross_entropy(z_BC.float(), y_B, **settings)
        return (w_B * F.cross_entropy(z_BC.float(), y_B, reduction="none", **settings)).mean()
    if name == "cwtm":
        confidence_B = t_BC.softmax(dim=1).amax(dim=1)
        loss_B = F.cross_entropy(z_BC.float(), y_B, reduction="none")
        return (confidence_B / confidence_B.sum() * (loss_B if w_B is None else w_B * loss_B)).sum()
    at = {"alpha": 1.0, "beta": 8.0, "temperature": 4.0} | settings
    own, other = (dkd._decoupled(x_BC / at["temperature"], y_B) for x_BC in (z_BC, t_BC))
    tckd, nckd = (F.kl_div(q, p, reduction="batchmean", log_target=True) for q, p in zip(own, other, strict=True))
    return at["temperature"] ** 2 * (at["alpha"] * tckd + at["beta"] * nckd)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("name", "settings"), HARD, ids=str)
def test_labelled_rows_have_the_bits_of_the_plain_formula(name: str, settings: dict[str, Any], weighted: bool) -> None:
    """No training changes that has a label for each image and mixes none."""
    for seed, (rows, classes) in enumerate([(1, 2), (7, 5), (32, 10), (29, 100)]):
        batch: dict[str, Any] = signals(rows, classes, seed)
        if weighted:
            batch["w_B"] = torch.linspace(0.3, 3.0, classes)[batch["y_B"]]
        z_BC = batch["z_BC"].clone().requires_grad_()
        expected = plain(name, batch | {"z_BC": z_BC}, settings)
        expected.backward()
        value, grad_BC = value_and_gradient(loss(name), name, batch, settings)
        assert torch.equal(value, expected.detach())
        assert z_BC.grad is not None and torch.equal(grad_BC, z_BC.grad)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("name", "settings"), HARD, ids=str)
def test_rows_without_a_label_equal_the_reference_and_the_batch_without_them(
    name: str, settings: dict[str, Any], weighted: bool
) -> None:
    batch = some_unlabelled()
    if weighted:
        batch["w_B"] = torch.linspace(0.3, 3.0, 5)[batch["y_B"]]
    compare(name, batch, settings)
    known_B = batch["y_B"] >= 0
    less = {key: x[known_B] for key, x in batch.items() if key != "l_B"}
    value, grad_BC = value_and_gradient(loss(name), name, batch, settings)
    alone, alone_grad_BC = value_and_gradient(loss(name), name, less, settings)
    torch.testing.assert_close(value, alone)
    torch.testing.assert_close(grad_BC[known_B], alone_grad_BC)
    assert (grad_BC[~known_B] == 0).all() and (grad_BC[known_B] != 0).any()


@pytest.mark.parametrize(("name", "settings"), HARD, ids=str)
def test_what_has_no_label_does_not_count_at_all(name: str, settings: dict[str, Any]) -> None:
    """Neither its pixels nor what the teacher says of it."""
    batch = some_unlabelled()
    other = signals(9, 5, seed=1)
    unknown_B1 = (batch["y_B"] < 0)[:, None]
    changed = {key: torch.where(unknown_B1, other[key], batch[key]) for key in ("z_BC", "t_BC")}
    found, same = (loss(name)(*taken(name, each), **settings) for each in (batch, batch | changed))
    assert torch.equal(found, same)


@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize(("name", "settings"), HARD, ids=str)
def test_a_batch_without_labels_has_no_loss_and_no_gradient(name: str, settings: dict[str, Any], scale: float) -> None:
    batch: dict[str, Any] = signals(4, 3, scale=scale)
    batch["y_B"][:] = -1
    batch["l_B"] = counts(batch["y_B"])
    value, grad_BC = value_and_gradient(loss(name), name, batch, settings)
    assert float(value) == 0 and (grad_BC == 0).all()
    twin, _ = value_and_gradient(getattr(reference, name), name, exact(batch), settings)
    assert twin == 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("name", "settings"), HARD, ids=str)
def test_parts_by_their_shares_are_the_whole(name: str, settings: dict[str, Any], seed: int) -> None:
    """Also where one part has all the labels: what a row counts is that of the whole batch."""
    batch = some_unlabelled(rows=12, seed=seed)
    batch["y_B"][:4] = -1
    batch["l_B"] = counts(batch["y_B"])
    if name == "cwtm":
        batch["t_BC"][:] = batch["t_BC"][0]  # it compares the images of what it is given
    whole, grad_BC = value_and_gradient(loss(name), name, batch, settings)
    values, grads = [], []
    for own in (slice(0, 4), slice(4, 7), slice(7, 12)):
        value, own_grad_BC = value_and_gradient(loss(name), name, {key: x[own] for key, x in batch.items()}, settings)
        share = len(own_grad_BC) / 12
        values.append(share * value)
        grads.append(share * own_grad_BC)
    torch.testing.assert_close(torch.stack(values).sum(), whole)
    torch.testing.assert_close(torch.cat(grads), grad_BC)


def test_what_a_row_counts() -> None:
    assert counts(torch.tensor([2, -1, 0, -1])).tolist() == [2, 0, 2, 0]
    assert counts(torch.tensor([-1, -1])).tolist() == [0, 0]
    assert counts(torch.tensor([1, 0])).tolist() == [1, 1]
    assert counts(torch.tensor([0])).dtype == torch.float32
    for y, partner, share in itertools.product((-1, 0), (-1, 0), (0.0, 0.3, 1.0)):
        (found,) = counts(torch.tensor([y]), Mixed(torch.tensor([partner]), torch.tensor([share]))).tolist()
        inside = [label for label, part in ((y, share), (partner, 1 - share)) if part > 0]
        assert found == (-1 not in inside), (y, partner, share)


def test_nothing_waits_for_the_device() -> None:
    """So that a step is recorded and replayed as any."""
    batch = some_unlabelled() | {"mixed": mixed_batch()["mixed"]}
    batch["z_BC"].requires_grad_()

    def work() -> None:
        batch["l_B"] = counts(batch["y_B"], batch["mixed"])
        for name in ("cross_entropy", "cwtm", "dkd"):
            loss(name)(*taken(name, batch)).backward()

    assert waits(work) == 0


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("unlabelled", [False, True])
@pytest.mark.parametrize("label_smoothing", SMOOTHINGS)
def test_a_mixture_equals_the_reference(label_smoothing: float, unlabelled: bool, weighted: bool) -> None:
    batch = mixed_batch()
    mixed = batch["mixed"]
    if unlabelled:
        batch["y_B"][[2, 3]] = -1  # row 2 is its partner alone
        mixed.y_B[[1, 5]] = -1  # row 1 is itself alone
        batch["l_B"] = counts(batch["y_B"], mixed)
        assert (batch["l_B"] > 0).tolist() == [True, True, True, False, True, False, True, True, True]
    if weighted:
        weights_C = torch.linspace(0.3, 3.0, 5)
        batch["w_B"] = weights_C[batch["y_B"]]
        batch["mixed"] = Mixed(mixed.y_B, mixed.share_B, weights_C[mixed.y_B])
    compare("cross_entropy", batch, {"label_smoothing": label_smoothing})


@pytest.mark.parametrize("label_smoothing", SMOOTHINGS)
def test_a_mixture_is_cross_entropy_with_the_mixed_target(label_smoothing: float) -> None:
    """Torch's own for a target of probabilities, and its least value that target's entropy."""
    batch = mixed_batch()
    own_BC, other_BC = (F.one_hot(y_B, 5).float() for y_B in (batch["y_B"], batch["mixed"].y_B))
    share_B1 = batch["mixed"].share_B[:, None]
    target_BC = share_B1 * own_BC + (1 - share_B1) * other_BC
    value = loss("cross_entropy")(*taken("cross_entropy", batch), label_smoothing=label_smoothing)
    torch.testing.assert_close(value, F.cross_entropy(batch["z_BC"], target_BC, label_smoothing=label_smoothing))
    smooth_BC = (1 - label_smoothing) * target_BC + label_smoothing / 5
    best = batch | {"z_BC": (smooth_BC + 1e-12).log()}
    least = float(loss("cross_entropy")(*taken("cross_entropy", best), label_smoothing=label_smoothing))
    assert least == pytest.approx(float(torch.special.entr(smooth_BC).sum(1).mean()), abs=1e-5)
    assert least < float(value)


def test_a_mixture_of_one_image_is_that_image() -> None:
    batch = mixed_batch()
    y_B, mixed = batch["y_B"], batch["mixed"]
    z_BC, ones_B = batch["z_BC"], torch.ones(9)
    cross_entropy = loss("cross_entropy")
    torch.testing.assert_close(cross_entropy(z_BC, y_B, mixed=Mixed(mixed.y_B, ones_B)), cross_entropy(z_BC, y_B))
    torch.testing.assert_close(
        cross_entropy(z_BC, y_B, mixed=Mixed(mixed.y_B, 0 * ones_B)), cross_entropy(z_BC, mixed.y_B)
    )
    torch.testing.assert_close(cross_entropy(z_BC, y_B, mixed=Mixed(y_B, mixed.share_B)), cross_entropy(z_BC, y_B))
    swapped = cross_entropy(z_BC, mixed.y_B, mixed=Mixed(y_B, 1 - mixed.share_B))
    torch.testing.assert_close(cross_entropy(*taken("cross_entropy", batch)), swapped)


def test_an_objective_hands_weights_of_both_classes() -> None:
    batch, weights_C = mixed_batch(), torch.tensor([0.5, 1.0, 2.0, 4.0, 8.0])
    mixed = batch["mixed"]
    signals_of = Signals(batch["z_BC"], batch["y_B"], mixed=mixed)
    found = Objective({"cross_entropy": {}}, class_weights_C=weights_C)(signals_of)["cross_entropy"]
    whole = Mixed(mixed.y_B, mixed.share_B, weights_C[mixed.y_B])
    twin = reference.cross_entropy(batch["z_BC"], batch["y_B"], weights_C[batch["y_B"]], mixed=whole)
    torch.testing.assert_close(found, twin)
    plain_mixture = Objective({"cross_entropy": {}})(signals_of)["cross_entropy"]
    torch.testing.assert_close(plain_mixture, reference.cross_entropy(batch["z_BC"], batch["y_B"], mixed=mixed))


@pytest.mark.parametrize("weights_C", [None, torch.tensor([0.5, 1.0, 2.0, 4.0, 8.0])])
def test_an_objective_averages_hard_labels_over_labelled_rows_and_soft_ones_over_all(weights_C: Tensor | None) -> None:
    batch = some_unlabelled()
    known_B = batch["y_B"] >= 0
    terms = {"cross_entropy": {}, "cwtm": {}, "dkd": {}, "soft_targets": {}, "born_again": {}}
    objective = Objective(terms, class_weights_C=weights_C)
    found = objective(Signals(batch["z_BC"], batch["y_B"], batch["t_BC"], l_B=batch["l_B"]))
    z_BC, y_B, t_BC = (batch[key][known_B] for key in ("z_BC", "y_B", "t_BC"))
    alone = objective(Signals(z_BC, y_B, t_BC))
    for name in ("cross_entropy", "cwtm", "dkd"):
        torch.testing.assert_close(found[name], alone[name])
    for name in ("soft_targets", "born_again"):
        assert torch.equal(found[name], loss(name)(batch["z_BC"], batch["t_BC"]))
        assert found[name] != alone[name]


@pytest.mark.parametrize(("name", "settings"), SOFT, ids=str)
def test_terms_on_soft_labels_take_no_hard_ones(name: str, settings: dict[str, Any]) -> None:
    """So all rows teach: none of them can leave out a row for its label."""
    assert not {"y_B", "w_B", "l_B", "mixed"} & {*NEEDS[name]}


@pytest.mark.parametrize("name", ["cwtm", "dkd"])
def test_a_term_that_needs_one_class_is_refused_where_rows_are_mixed(name: str) -> None:
    batch = mixed_batch()
    with pytest.raises(UserError, match=rf"objective\.{name} needs one class of each image.*mixed: take cross_entropy"):
        Objective({name: {}})(Signals(batch["z_BC"], batch["y_B"], batch["t_BC"], mixed=batch["mixed"]))
    objective = {"cross_entropy": {}, name: {}}
    with pytest.raises(UserError, match=rf"^params\.yaml: direct\.objective\.{name} needs one class of each image"):
        check_mixing(objective, "direct", mixes=True)
    check_mixing(objective, "direct", mixes=False)
    check_mixing({"cross_entropy": {}, "soft_targets": {}}, "direct", mixes=True)


def test_a_term_of_ones_own_that_knows_of_neither_is_refused(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "objectives").mkdir()
    (tmp_path / "objectives" / "own.py").write_text("def own(z_BC, y_B): ...\n")
    monkeypatch.setattr("pipeline.config.extension.PIPELINE", tmp_path)
    assert needs_one_class({"own": {}}) == ["own"]
    monkeypatch.setitem(sys.modules, "pipeline.objectives.own", SimpleNamespace(own=loss("dkd")))
    batch = some_unlabelled()
    with pytest.raises(UserError, match=r"objective\.own needs one class of each image.*images without a label"):
        Objective({"own": {}})(Signals(batch["z_BC"], batch["y_B"], l_B=batch["l_B"]))


def test_confidence_is_shared_among_labelled_rows() -> None:
    batch = some_unlabelled()
    shares_B = cwtm.weights(batch["t_BC"], batch["l_B"])
    assert float(shares_B.sum()) == pytest.approx(1, abs=1e-6)
    assert ((shares_B > 0) == (batch["y_B"] >= 0)).all()
