"""Each loss against its slow twin, and the exact properties that the papers promise."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests import reference
from tests.objectives.losses import CASES, FEATURES, LOGITS, NAMES, loss, signals, taken

SHAPES = [(1, 2), (3, 7), (5, 3), (2, 13)]
TAUGHT = [case for case in CASES if case[0] != "cross_entropy"]


def value_and_gradient(function: Any, name: str, batch: dict[str, Tensor], settings: Any) -> tuple[Tensor, Tensor]:
    z_BC = batch["z_BC"].detach().clone().requires_grad_()
    value = function(*taken(name, batch | {"z_BC": z_BC}), **settings)
    value.backward()
    assert z_BC.grad is not None
    return value.detach(), z_BC.grad


def doubled(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.double() if value.is_floating_point() else value for key, value in batch.items()}


def test_every_loss_is_tried():
    tried = {name for name, _ in CASES + LOGITS + FEATURES} | {"dkpp", "fitnet_hint", "fsp", "mutual"}
    assert tried == set(NAMES)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_it_equals_the_reference(name: str, settings: dict[str, Any], shape: tuple[int, int]):
    batch = signals(*shape, seed=sum(shape))
    value, grad_BC = value_and_gradient(loss(name), name, batch, settings)
    twin, twin_grad_BC = value_and_gradient(getattr(reference, name), name, doubled(batch), settings)
    assert value.dtype == torch.float32
    # T^2 multiplies the rounding of a KL that itself falls with T^2; the gradient does not suffer.
    rounding = settings.get("temperature", 1.0) ** 2 * torch.finfo(torch.float32).eps
    torch.testing.assert_close(value.double(), twin, rtol=1e-5, atol=1e-5 + rounding)
    torch.testing.assert_close(grad_BC.double(), twin_grad_BC, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_bfloat16_logits_are_computed_in_float32_also_under_autocast(name: str, settings: dict[str, Any]):
    batch = signals(6, 5)
    narrow = {key: x.bfloat16() if x.is_floating_point() else x for key, x in batch.items()}
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(name)(*taken(name, narrow), **settings)
    assert value.dtype == torch.float32
    widened = getattr(reference, name)(*taken(name, doubled(narrow)), **settings)
    torch.testing.assert_close(value.double(), widened, rtol=1e-5, atol=1e-5)
    exact = getattr(reference, name)(*taken(name, doubled(batch)), **settings)
    torch.testing.assert_close(value.double(), exact, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(("name", "settings"), TAUGHT)
def test_no_gradient_reaches_the_teacher(name: str, settings: dict[str, Any]):
    batch = signals(4, 3)
    z_BC, t_BC = batch["z_BC"].requires_grad_(), batch["t_BC"].requires_grad_()
    loss(name)(z_BC, t_BC, **settings).backward()
    assert t_BC.grad is None
    assert z_BC.grad is not None
    assert z_BC.grad.abs().sum() > 0


@pytest.mark.parametrize(("name", "settings"), TAUGHT)
def test_equal_logits_give_the_least_value(name: str, settings: dict[str, Any]):
    batch = signals(64, 5)
    t_BC = batch["t_BC"]
    floor = 0.0
    if name == "born_again":
        floor = float(-(t_BC.softmax(1) * t_BC.log_softmax(1)).sum(1).mean())
    value, grad_BC = value_and_gradient(loss(name), name, batch | {"z_BC": t_BC}, settings)
    assert float(value) == pytest.approx(floor, abs=1e-5)
    assert float(grad_BC.abs().max()) < 1e-5
    for scale in (1e-3, 0.1, 1.0, 30.0):
        other_BC = t_BC + scale * batch["z_BC"]
        assert float(loss(name)(other_BC, t_BC, **settings)) >= floor - 1e-5


@pytest.mark.parametrize("label_smoothing", [0.0, 0.3])
def test_cross_entropy_is_never_below_the_entropy_of_its_target(label_smoothing: float):
    classes = 4
    y_B = torch.arange(classes)
    target_BC = (1 - label_smoothing) * F.one_hot(y_B).float() + label_smoothing / classes
    floor = float(torch.special.entr(target_BC).sum(1).mean())
    best_BC = (target_BC + 1e-12).log()
    best = float(loss("cross_entropy")(best_BC, y_B, label_smoothing=label_smoothing))
    assert best == pytest.approx(floor, abs=1e-5)
    for seed in range(10):
        z_BC = best_BC + signals(classes, classes, seed)["z_BC"]
        assert float(loss("cross_entropy")(z_BC, y_B, label_smoothing=label_smoothing)) >= floor


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_the_gradient_has_the_sign_of_finite_differences(name: str, settings: dict[str, Any]):
    batch = signals(3, 4, seed=5)
    _, grad_BC = value_and_gradient(loss(name), name, batch, settings)
    twin, exact, step = getattr(reference, name), doubled(batch), 1e-6
    compared = 0
    for b in range(3):
        for c in range(4):
            bump_BC = torch.zeros(3, 4, dtype=torch.float64)
            bump_BC[b, c] = step
            above = twin(*taken(name, exact | {"z_BC": exact["z_BC"] + bump_BC}), **settings)
            below = twin(*taken(name, exact | {"z_BC": exact["z_BC"] - bump_BC}), **settings)
            slope = float(above - below) / (2 * step)
            assert float(grad_BC[b, c]) == pytest.approx(slope, rel=1e-3, abs=1e-5)
            if abs(slope) > 1e-4:
                assert math.copysign(1, slope) == math.copysign(1, float(grad_BC[b, c]))
                compared += 1
    assert compared >= 6


def test_cross_entropy_and_kl_to_a_fixed_teacher_have_the_same_gradient():
    batch = signals(5, 7)
    ce, ce_grad_BC = value_and_gradient(loss("born_again"), "born_again", batch, {})
    kl, kl_grad_BC = value_and_gradient(loss("label_refinery"), "label_refinery", batch, {})
    torch.testing.assert_close(ce_grad_BC, kl_grad_BC, rtol=1e-5, atol=1e-7)
    entropy = -(batch["t_BC"].softmax(1) * batch["t_BC"].log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(ce - kl, entropy)
    assert float(entropy) > 0.1


def test_soft_targets_at_temperature_1_are_label_refinery():
    batch = signals(5, 7)
    torch.testing.assert_close(
        loss("soft_targets")(batch["z_BC"], batch["t_BC"], temperature=1.0),
        loss("label_refinery")(batch["z_BC"], batch["t_BC"]),
    )


def test_hot_soft_targets_become_logit_matching():
    """T^2 KL has the gradient (z-t)/C per row as T grows, for centred logits (Hinton et al. 2015, eq. 4)."""
    batch = signals(4, 6, scale=1.0)
    z_BC, t_BC = (batch[key] - batch[key].mean(1, keepdim=True) for key in ("z_BC", "t_BC"))
    centred = batch | {"z_BC": z_BC, "t_BC": t_BC}
    limit_BC = (z_BC - t_BC) / 6 / 4  # the mean over 4 rows divides once more
    errors = []
    for temperature in (1.0, 10.0, 100.0):
        _, grad_BC = value_and_gradient(loss("soft_targets"), "soft_targets", centred, {"temperature": temperature})
        errors.append(float((grad_BC - limit_BC).abs().max() / limit_BC.abs().max()))
    assert errors[2] < 0.01
    assert errors[0] > 3 * errors[1]
    assert errors[1] > 5 * errors[2]
    _, matching_BC = value_and_gradient(loss("logit_matching"), "logit_matching", centred, {"reduction": "mean"})
    torch.testing.assert_close(matching_BC, limit_BC)


@pytest.mark.parametrize("name", ["soft_targets", "label_refinery", "born_again"])
def test_losses_on_distributions_ignore_a_constant_added_to_the_logits(name: str):
    batch = signals(4, 5)
    shift_B1 = torch.tensor([[10.0], [-3.0], [0.5], [100.0]])
    torch.testing.assert_close(
        loss(name)(batch["z_BC"] + shift_B1, batch["t_BC"] - shift_B1),
        loss(name)(batch["z_BC"], batch["t_BC"]),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_huge_logits_stay_finite(name: str, settings: dict[str, Any]):
    value, grad_BC = value_and_gradient(loss(name), name, signals(4, 5, scale=1e4), settings)
    assert torch.isfinite(value)
    assert torch.isfinite(grad_BC).all()
