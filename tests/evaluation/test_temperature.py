"""The temperature: that of the least likelihood, whatever the logits are."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from pipeline.evaluation.metrics import ece, nll
from pipeline.evaluation.temperature import COLDEST, HOTTEST, fit, surest


def drawn(count: int, heat: float, classes: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are `heat` times too large, and labels drawn by what they should be."""
    generator = np.random.default_rng(seed)
    z_NC = generator.normal(0, 2, (count, classes))
    gumbel_NC = generator.gumbel(size=z_NC.shape)
    return torch.from_numpy(z_NC * heat).float(), torch.from_numpy((z_NC + gumbel_NC).argmax(1))


@pytest.mark.parametrize("heat", [0.2, 1.0, 3.0])
def test_logits_that_are_too_large_are_divided_by_as_much(heat: float) -> None:
    logits_NC, y_N = drawn(20_000, heat)
    found = fit(logits_NC, y_N)
    assert found == pytest.approx(heat, rel=0.03)
    assert ece(logits_NC / found, y_N) < 0.01
    if heat != 1:
        assert ece(logits_NC, y_N) > 0.1


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_minimum_that_a_library_finds(seed: int) -> None:
    logits_NC, y_N = drawn(40, 2.0, seed=seed)

    def loss(log_a: float) -> float:
        z_NC = logits_NC.double() * np.exp(log_a)
        any_class = -z_NC.log_softmax(1).mean().item()
        return len(y_N) * nll(z_NC, y_N) + any_class

    found = minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-9})
    assert fit(logits_NC, y_N) == pytest.approx(np.exp(-found.x), rel=1e-5)


def test_where_all_are_right_it_is_no_zero() -> None:
    logits_NC = torch.eye(5).repeat(20, 1) * 3
    found = fit(logits_NC, logits_NC.argmax(1))
    assert 0.1 < found < 1
    # More of them allow more trust.
    assert fit(logits_NC.repeat(50, 1), logits_NC.argmax(1).repeat(50)) < found


def test_it_ends_where_logits_say_nothing() -> None:
    y_N = torch.arange(6)
    assert fit(torch.eye(6).roll(1, 1) * 5, y_N) == pytest.approx(HOTTEST)
    assert COLDEST <= fit(torch.zeros(6, 6), y_N) <= HOTTEST * 1.001


def test_how_sure_it_is_falls_with_the_temperature_and_is_a_probability() -> None:
    logits_NC, _ = drawn(50, 1.0)
    by_degree = torch.stack([surest(logits_NC, degree) for degree in (0.1, 1.0, 10.0)])
    assert (by_degree[:-1] > by_degree[1:]).all() and (by_degree > 1 / 6).all() and (by_degree <= 1).all()
    wanted_NC = np.exp(logits_NC.double().numpy())
    np.testing.assert_allclose(surest(logits_NC, 1.0), wanted_NC.max(1) / wanted_NC.sum(1))
