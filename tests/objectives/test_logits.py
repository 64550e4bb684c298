"""The losses on logits beyond the plain ones: against their slow twins, and their exact properties."""

from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.base.errors import UserError
from pipeline.objectives import cwtm, dkd, dkpp
from pipeline.objectives.mutual import mutual
from tests import reference
from tests.objectives.losses import LOGITS, loss, signals, taken
from tests.objectives.test_losses import doubled, value_and_gradient
from tests.training.waits import waits

ALL = [*LOGITS, ("dkpp", {})]
ZERO_AT_EQUALITY = [case for case in LOGITS if case[0] != "cwtm"]


def constant(rows: int, classes: int) -> dict[str, Tensor]:
    """Logits without any variance, equal in all samples."""
    return {
        "z_BC": torch.zeros(rows, classes),
        "t_BC": torch.ones(rows, classes),
        "y_B": torch.zeros(rows, dtype=torch.int64),
    }


@pytest.mark.parametrize("shape", [(3, 7), (5, 3), (2, 13)])
@pytest.mark.parametrize(("name", "settings"), LOGITS)
def test_it_equals_the_reference(name: str, settings: dict[str, Any], shape: tuple[int, int]):
    batch = signals(*shape, seed=sum(shape), scale=1.5)
    value, grad_BC = value_and_gradient(loss(name), name, batch, settings)
    twin, twin_grad_BC = value_and_gradient(getattr(reference, name), name, doubled(batch), settings)
    assert value.dtype == torch.float32
    assert float(twin_grad_BC.abs().max()) > 1e-3
    torch.testing.assert_close(value.double(), twin, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grad_BC.double(), twin_grad_BC, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["dkd", "logit_standardisation", "cwtm"])
def test_one_sample_equals_the_reference(name: str):
    batch = signals(1, 4)
    value, grad_BC = value_and_gradient(loss(name), name, batch, {})
    twin, twin_grad_BC = value_and_gradient(getattr(reference, name), name, doubled(batch), {})
    torch.testing.assert_close(value.double(), twin, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grad_BC.double(), twin_grad_BC, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "settings"), LOGITS)
def test_bfloat16_logits_are_computed_in_float32_also_under_autocast(name: str, settings: dict[str, Any]):
    batch = signals(6, 5)
    narrow = {key: x.bfloat16() if x.is_floating_point() else x for key, x in batch.items()}
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(name)(*taken(name, narrow), **settings)
    assert value.dtype == torch.float32
    widened = getattr(reference, name)(*taken(name, doubled(narrow)), **settings)
    torch.testing.assert_close(value.double(), widened, rtol=1e-5, atol=1e-5)
    exact = getattr(reference, name)(*taken(name, doubled(batch)), **settings)
    torch.testing.assert_close(value.double(), exact, rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize(("name", "settings"), ALL)
def test_no_gradient_reaches_the_teacher(name: str, settings: dict[str, Any]):
    batch = signals(4, 3)
    batch["z_BC"].requires_grad_()
    batch["t_BC"].requires_grad_()
    loss(name)(*taken(name, batch), **settings).backward()
    assert batch["t_BC"].grad is None
    assert batch["z_BC"].grad is not None
    assert batch["z_BC"].grad.abs().sum() > 0


@pytest.mark.parametrize(("name", "settings"), ZERO_AT_EQUALITY)
def test_equal_logits_give_zero_and_others_more(name: str, settings: dict[str, Any]):
    batch = signals(32, 5)
    value, grad_BC = value_and_gradient(loss(name), name, batch | {"z_BC": batch["t_BC"]}, settings)
    assert float(value) == pytest.approx(0, abs=1e-5)
    assert float(grad_BC.abs().max()) < 1e-5
    for scale in (1e-3, 0.1, 1.0, 30.0):
        other = batch | {"z_BC": batch["t_BC"] + scale * batch["z_BC"]}
        assert float(loss(name)(*taken(name, other), **settings)) >= -1e-5
    assert float(loss(name)(*taken(name, batch), **settings)) > 0.1


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (1, 2), (1, 5), (4, 3)])
@pytest.mark.parametrize(("name", "settings"), ALL)
def test_degenerate_batches_have_finite_gradients(name: str, settings: dict[str, Any], shape: tuple[int, int]):
    for batch in (constant(*shape), signals(*shape), signals(*shape, scale=1e4)):
        value, grad_BC = value_and_gradient(loss(name), name, batch, settings)
        assert torch.isfinite(value)
        assert torch.isfinite(grad_BC).all()


@pytest.mark.parametrize("value", [0.1, 1 / 3, 7.7, -1234.5])
@pytest.mark.parametrize(("name", "settings"), ALL)
def test_what_rounding_leaves_of_a_constant_row_or_column_has_no_direction(
    name: str, settings: dict[str, Any], value: float
):
    """The mean of ten times 0.1 is not 0.1, and a unit vector made of the difference has a gradient of 1e8."""
    for shape in ((6, 10), (6, 7), (10, 3)):
        batch = signals(*shape)
        row_C = torch.full((shape[1],), value)
        rows = torch.where(torch.arange(shape[0])[:, None] < 3, row_C, batch["z_BC"])
        for z_BC in (row_C.expand(shape).clone(), rows, batch["z_BC"][:1].expand(shape).clone()):
            _, grad_BC = value_and_gradient(loss(name), name, batch | {"z_BC": z_BC}, settings)
            assert float(grad_BC.abs().max()) < 100


def test_a_constant_row_has_no_gradient_where_its_scale_is_taken_out():
    batch = signals(4, 10) | {"z_BC": torch.full((4, 10), 0.1)}
    _, grad_BC = value_and_gradient(loss("logit_standardisation"), "logit_standardisation", batch, {})
    assert (grad_BC == 0).all()
    _, grad_BC = value_and_gradient(loss("dist"), "dist", batch, {})
    assert (grad_BC == 0).all()
    near = batch | {"z_BC": 0.1 + 1e-4 * signals(4, 10)["z_BC"]}  # small, and no rounding
    _, grad_BC = value_and_gradient(loss("logit_standardisation"), "logit_standardisation", near, {})
    assert float(grad_BC.abs().max()) > 100


@pytest.mark.parametrize("name", ["dkd", "dist", "logit_standardisation", "cwtm", "dkpp"])
def test_one_class_leaves_nothing_to_learn(name: str):
    value, grad_BC = value_and_gradient(loss(name), name, signals(3, 1), {})
    assert value == 0
    assert (grad_BC == 0).all()


def test_kl_is_the_target_part_and_the_share_of_the_others():
    """KL = TCKD + (1 - p_target) NCKD, in each sample and so for one sample at a time (Zhao et al. 2022, eq. 6)."""
    batch = signals(8, 6)
    for b in range(8):
        z_BC, t_BC, y_B = batch["z_BC"][b : b + 1], batch["t_BC"][b : b + 1], batch["y_B"][b : b + 1]
        tckd = loss("dkd")(z_BC, t_BC, y_B, alpha=1.0, beta=0.0, temperature=2.0)
        nckd = loss("dkd")(z_BC, t_BC, y_B, alpha=0.0, beta=1.0, temperature=2.0)
        p = (t_BC / 2).softmax(1)[0, y_B[0]]
        kl = loss("soft_targets")(z_BC, t_BC, temperature=2.0)
        torch.testing.assert_close(kl, tckd + (1 - p) * nckd, rtol=1e-5, atol=1e-5)
        assert tckd > 0
        assert nckd > 0


def test_a_class_without_a_column_is_the_authors_class_lowered_by_1000():
    batch = signals(6, 5)
    z_BC, t_BC, y_B = batch["z_BC"], batch["t_BC"], batch["y_B"]
    low_BC = 1000.0 * torch.nn.functional.one_hot(y_B, 5)
    p_BC, log_q_BC = (t_BC - low_BC).softmax(1), (z_BC - low_BC).log_softmax(1)
    theirs = torch.nn.functional.kl_div(log_q_BC, p_BC, reduction="batchmean")
    torch.testing.assert_close(loss("dkd")(z_BC, t_BC, y_B, alpha=0.0, beta=1.0, temperature=1.0), theirs)


def test_a_column_is_taken_out_without_asking_for_its_place():
    batch = signals(rows=4, classes=5)
    z_BC = batch["z_BC"].requires_grad_()
    assert waits(lambda: dkd.dkd(z_BC, batch["t_BC"], batch["y_B"]).backward()) == 0


def test_a_column_taken_out_by_its_number_has_the_bits_of_a_mask():
    z_BC = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    y_B = torch.tensor([0, 4, 2, 2, 1, 3])
    mask_BC = torch.nn.functional.one_hot(y_B, 5).bool()
    log_p_BC = z_BC.log_softmax(dim=1)
    others_BC = log_p_BC[~mask_BC].view(6, 4)
    target_B2 = torch.stack([log_p_BC[mask_BC], others_BC.logsumexp(dim=1)], dim=1)
    weights_BC = torch.randn(6, 6, generator=torch.Generator().manual_seed(1))

    def gradient(*parts: Tensor) -> Tensor:
        return torch.autograd.grad((torch.cat(parts, dim=1) * weights_BC).sum(), z_BC)[0]

    found = dkd._decoupled(z_BC, y_B)
    assert torch.equal(found[0], target_B2) and torch.equal(found[1], others_BC.log_softmax(dim=1))
    assert torch.equal(gradient(*found), gradient(target_B2, others_BC.log_softmax(dim=1)))


def test_dist_ignores_an_affine_change_of_each_row_of_probabilities():
    batch = signals(5, 4)
    inter = {"beta": 1.0, "gamma": 0.0}
    p_BC = batch["t_BC"].softmax(1)
    mixed_BC = (0.3 * p_BC + 0.7 / 4).log()
    assert float(loss("dist")(mixed_BC, batch["t_BC"], **inter)) == pytest.approx(0, abs=1e-6)
    assert float(loss("dist")(mixed_BC, batch["t_BC"])) == pytest.approx(0, abs=1e-6)
    assert float(loss("soft_targets")(mixed_BC, batch["t_BC"])) > 0.01


def test_dist_is_largest_for_opposite_predictions():
    z_BC = torch.tensor([[2.0, 0.0], [0.0, 2.0], [1.0, 0.0]])
    assert float(loss("dist")(z_BC, -z_BC)) == pytest.approx(4, abs=1e-5)


def test_logit_standardisation_ignores_affine_changes_of_each_row():
    batch = signals(4, 6)
    scale_B1 = torch.tensor([[0.01], [1.0], [3.0], [100.0]])
    shift_B1 = torch.tensor([[10.0], [-3.0], [0.5], [0.0]])
    expected = loss("logit_standardisation")(batch["z_BC"], batch["t_BC"])
    changed = loss("logit_standardisation")(scale_B1 * batch["z_BC"] + shift_B1, batch["t_BC"] / scale_B1)
    torch.testing.assert_close(changed, expected, rtol=1e-4, atol=1e-5)


def test_cwtm_weights_sum_to_one_and_follow_confidence():
    t_BC = signals(7, 4)["t_BC"]
    weights_B = cwtm.weights(t_BC)
    assert float(weights_B.sum()) == pytest.approx(1, abs=1e-6)
    assert (weights_B.argsort() == t_BC.softmax(1).amax(1).argsort()).all()


def test_cwtm_of_an_undecided_teacher_is_cross_entropy():
    batch = signals(7, 4)
    value = loss("cwtm")(batch["z_BC"], torch.zeros(7, 4), batch["y_B"])
    torch.testing.assert_close(value, loss("cross_entropy")(batch["z_BC"], batch["y_B"]))


def test_dkpp_keeps_the_maximum_and_the_sorted_values():
    t_BC = signals(200, 6)["t_BC"]
    torch.manual_seed(0)
    shuffled_BC = dkpp.permuted(t_BC)
    assert (shuffled_BC.argmax(1) == t_BC.argmax(1)).all()
    assert (shuffled_BC.amax(1) == t_BC.amax(1)).all()
    assert (shuffled_BC.sort(1).values == t_BC.sort(1).values).all()
    assert (shuffled_BC != t_BC).any(dim=1).float().mean() > 0.9
    torch.testing.assert_close(shuffled_BC.softmax(1).sort(1).values, t_BC.softmax(1).sort(1).values)


def test_dkpp_sends_each_value_to_each_other_place_alike():
    torch.manual_seed(0)
    shuffled_BC = dkpp.permuted(torch.tensor([[1.0, 9.0, 2.0, 3.0]]).repeat(6000, 1))
    assert (shuffled_BC[:, 1] == 9).all()
    for place in (0, 2, 3):
        for value in (1.0, 2.0, 3.0):
            assert (shuffled_BC[:, place] == value).float().mean() == pytest.approx(1 / 3, abs=0.03)


def test_dkpp_is_born_again_from_the_permuted_teacher_and_repeats_with_the_seed():
    batch = signals(5, 6)
    torch.manual_seed(3)
    permuted_BC = dkpp.permuted(batch["t_BC"])
    torch.manual_seed(3)
    value, grad_BC = value_and_gradient(loss("dkpp"), "dkpp", batch, {})
    twin, twin_grad_BC = value_and_gradient(
        reference.born_again, "born_again", doubled(batch | {"t_BC": permuted_BC}), {}
    )
    torch.testing.assert_close(value.double(), twin, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grad_BC.double(), twin_grad_BC, rtol=1e-5, atol=1e-5)
    assert loss("dkpp")(batch["z_BC"], batch["t_BC"]) != value


def peers(count: int, rows: int = 4, classes: int = 5) -> list[Tensor]:
    return [signals(rows, classes, seed=10 + k)["t_BC"] for k in range(count)]


def learned(z_BC: Tensor, others: list[Tensor], ensemble: bool) -> tuple[Tensor, Tensor]:
    z_BC = z_BC.clone().requires_grad_()
    value = mutual(z_BC, others, ensemble=ensemble)
    value.backward()
    assert z_BC.grad is not None
    return value.detach(), z_BC.grad


@pytest.mark.parametrize("ensemble", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_mutual_equals_the_reference(count: int, ensemble: bool):
    z_BC, others = signals(4, 5)["z_BC"], peers(count)
    value, grad_BC = learned(z_BC, others, ensemble)
    z = z_BC.double().requires_grad_()
    twin = reference.mutual(z, [peer_BC.double() for peer_BC in others], ensemble=ensemble)
    twin.backward()
    assert z.grad is not None
    torch.testing.assert_close(value.double(), twin.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grad_BC.double(), z.grad, rtol=1e-5, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = mutual(z_BC.bfloat16(), [peer_BC.bfloat16() for peer_BC in others], ensemble=ensemble)
    torch.testing.assert_close(narrow.double(), twin.detach(), rtol=2e-2, atol=1e-3)


def test_mutual_of_one_peer_is_the_kl_to_it():
    z_BC, others = signals(4, 5)["z_BC"], peers(1)
    torch.testing.assert_close(mutual(z_BC, others), loss("label_refinery")(z_BC, others[0]))
    torch.testing.assert_close(mutual(z_BC, others, ensemble=True), mutual(z_BC, others))


def test_peers_one_by_one_and_their_mean_have_the_same_gradient():
    z_BC, others = signals(4, 5)["z_BC"], peers(3)
    each, each_grad_BC = learned(z_BC, others, ensemble=False)
    mean, mean_grad_BC = learned(z_BC, others, ensemble=True)
    assert each > mean + 0.01
    torch.testing.assert_close(each_grad_BC, mean_grad_BC, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ensemble", [False, True])
def test_mutual_is_zero_between_equals_and_teaches_no_peer(ensemble: bool):
    z_BC = signals(4, 5)["z_BC"].requires_grad_()
    peer_BC = z_BC.detach().clone().requires_grad_()
    value = mutual(z_BC, [peer_BC, peer_BC], ensemble=ensemble)
    value.backward()
    assert float(value.detach()) == pytest.approx(0, abs=1e-6)
    assert peer_BC.grad is None


def test_mutual_refuses_no_peers_and_other_shapes():
    z_BC = signals(4, 5)["z_BC"]
    with pytest.raises(UserError, match="at least 2 networks"):
        mutual(z_BC, [])
    with pytest.raises(UserError, match=r"peer 2 gives logits of shape \(4, 6\), not \(4, 5\)"):
        mutual(z_BC, [z_BC, torch.zeros(4, 6)])
