"""Legend: M members, N samples, C classes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.evaluation.ensemble import Rule, combine, cross_fitted, fit_weights, prefixes
from pipeline.evaluation.metrics import accuracy, nll

RULES: list[Rule] = ["probabilities", "logits", "weighted"]


def members(seed: int, number: int = 3, count: int = 60, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Members of different worth: logits that lean to the right class more or less."""
    random = np.random.default_rng(seed)
    y_N = random.integers(0, classes, count)
    lean_M = random.uniform(0, 3, number)
    noise_MNC = random.normal(0, 1.5, (number, count, classes))
    logits_MNC = noise_MNC + lean_M[:, None, None] * np.eye(classes)[y_N]
    return torch.from_numpy(logits_MNC).float(), torch.from_numpy(y_N)


def simplex(number: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).dirichlet(np.ones(number)))


def mixture_nll(logits_MNC: Tensor, y_N: Tensor, weights_M: Tensor) -> float:
    """By the definition, in float64."""
    p_MN = logits_MNC.double().softmax(2)[:, torch.arange(len(y_N)), y_N]
    return -(weights_M.double() @ p_MN).log().mean().item()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("classes", [4, 37])
def test_samples_in_pieces_give_the_same_bits(monkeypatch: pytest.MonkeyPatch, rule: Rule, classes: int) -> None:
    logits_MNC, y_N = members(5, 5, 103, classes)
    weights_M = fit_weights(logits_MNC, y_N)
    whole_NC = combine(logits_MNC, rule, weights_M)
    for size in (1, 8, 50):
        monkeypatch.setattr("pipeline.evaluation.ensemble.AT_ONCE", size)
        assert torch.equal(fit_weights(logits_MNC, y_N), weights_M)
        assert torch.equal(combine(logits_MNC, rule, weights_M), whole_NC)


@pytest.mark.parametrize("rule", RULES)
def test_identical_members_are_the_member(rule: Rule) -> None:
    logits_MNC, _ = members(0, 1)
    found_NC = combine(logits_MNC.expand(4, -1, -1), rule, simplex(4))
    torch.testing.assert_close(found_NC.softmax(1), logits_MNC[0].softmax(1))
    assert torch.equal(found_NC.argmax(1), logits_MNC[0].argmax(1))
    assert found_NC.dtype == torch.float32


def test_each_rule_is_its_definition() -> None:
    logits_MNC, _ = members(1)
    p_MNC = logits_MNC.softmax(2)
    weights_M = simplex(3)
    torch.testing.assert_close(combine(logits_MNC, "probabilities"), p_MNC.mean(0).log(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(combine(logits_MNC, "logits"), logits_MNC.mean(0))
    expected_NC = (weights_M[:, None, None] * p_MNC).sum(0).log().float()
    torch.testing.assert_close(combine(logits_MNC, "weighted", weights_M), expected_NC, rtol=1e-4, atol=1e-5)


def test_the_rules_are_different_ensembles() -> None:
    # Two unsure members outvote a sure one where logits are averaged with it, but not its probabilities.
    logits_MNC = torch.tensor([[[0.0, 20.0]], [[6.0, 0.0]], [[6.0, 0.0]]])
    assert combine(logits_MNC, "probabilities").argmax().item() == 0
    assert combine(logits_MNC, "logits").argmax().item() == 1
    assert combine(logits_MNC, "weighted", torch.tensor([0.9, 0.1, 0.0])).argmax().item() == 1


def test_extreme_members_stay_finite() -> None:
    logits_MNC = torch.tensor([[[1e4, -1e4, 0.0]], [[-1e4, 1e4, 0.0]]])
    for rule in RULES:
        assert torch.isfinite(combine(logits_MNC, rule, torch.tensor([1.0, 0.0]))).all()
    weights_M = fit_weights(logits_MNC, torch.tensor([2]))
    assert weights_M.tolist() == pytest.approx([0.5, 0.5])


def test_weights_must_be_one_a_member() -> None:
    logits_MNC, _ = members(2)
    for weights_M in (None, simplex(2)):
        with pytest.raises(ValueError, match="takes 3 weights"):
            combine(logits_MNC, "weighted", weights_M)


@given(st.integers(0, 10**6), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_fitted_weights_beat_equal_ones_and_every_member_where_they_were_fitted(seed: int, number: int) -> None:
    logits_MNC, y_N = members(seed, number)
    weights_M = fit_weights(logits_MNC, y_N)
    assert weights_M.dtype == torch.float64
    assert weights_M.min() >= 0
    assert weights_M.sum().item() == pytest.approx(1, abs=1e-12)
    fitted = mixture_nll(logits_MNC, y_N, weights_M)
    assert fitted == pytest.approx(nll(combine(logits_MNC, "weighted", weights_M), y_N), abs=1e-6)
    assert fitted <= mixture_nll(logits_MNC, y_N, torch.full((number,), 1 / number)) + 1e-12
    rivals = [torch.eye(number)[m] for m in range(number)] + [simplex(number, seed + i) for i in range(20)]
    assert all(fitted <= mixture_nll(logits_MNC, y_N, rival_M) + 2e-6 for rival_M in rivals)


def test_the_best_weights_of_two_coins_are_known() -> None:
    # Member 0 gives the truth 0.8 on 30 samples and 0.4 on 10, member 1 the reverse: the derivative of
    # 30 log(.4 + .4 w) + 10 log(.8 - .4 w) is zero at w = 1.25, outside: all weight on member 0.
    # With 20 and 10 it is zero at w = 1, with 18 and 12 at w = 0.8.
    for often, seldom, expected in ((30, 10, 1.0), (18, 12, 0.8), (15, 15, 0.5)):
        p_MN = torch.tensor([[0.8] * often + [0.4] * seldom, [0.4] * often + [0.8] * seldom])
        logits_MNC = torch.stack([p_MN, 1 - p_MN], dim=2).log()
        weights_M = fit_weights(logits_MNC, torch.zeros(often + seldom, dtype=torch.int64))
        assert weights_M[0].item() == pytest.approx(expected, abs=5e-3)


def test_a_single_member_has_all_the_weight() -> None:
    assert fit_weights(*members(3, 1)).tolist() == [1.0]


def test_fitting_is_deterministic_and_follows_the_members() -> None:
    logits_MNC, y_N = members(4)
    weights_M = fit_weights(logits_MNC, y_N)
    assert torch.equal(weights_M, fit_weights(logits_MNC, y_N))
    torch.testing.assert_close(fit_weights(logits_MNC.flip(0), y_N), weights_M.flip(0), rtol=0, atol=1e-6)


@pytest.mark.parametrize("rule", ["probabilities", "logits"])
def test_prefixes_are_the_ensembles_of_the_first_members(rule: Rule) -> None:
    logits_MNC, y_N = members(5, 4)
    assert prefixes(logits_MNC, y_N, rule) == {
        number: accuracy(combine(logits_MNC[:number], rule), y_N) for number in (2, 3, 4)
    }
    assert prefixes(logits_MNC[:1], y_N, rule) == {}


def test_weighted_prefixes_are_fitted_elsewhere() -> None:
    (validation_MNC, y_V), (test_MNC, y_T) = members(6, 3, count=50), members(6, 3, count=70)
    found = prefixes(test_MNC, y_T, "weighted", (validation_MNC, y_V))
    assert found.keys() == {2, 3}
    weights_M = fit_weights(validation_MNC[:2], y_V)
    assert found[2] == accuracy(combine(test_MNC[:2], "weighted", weights_M), y_T)
    within = prefixes(validation_MNC, y_V, "weighted")
    assert within[2] == accuracy(cross_fitted(validation_MNC[:2], y_V), y_V)


def test_no_image_has_weights_that_were_fitted_on_it() -> None:
    logits_MNC, y_N = members(8, 3, count=43)
    found_NC, held = cross_fitted(logits_MNC, y_N), []
    for c in y_N.unique():
        held += [(row.item(), number % 5) for number, row in enumerate((y_N == c).nonzero()[:, 0])]
    fold_N = torch.tensor([fold for _, fold in sorted(held)])
    for fold in range(5):
        weights_M = fit_weights(logits_MNC[:, fold_N != fold], y_N[fold_N != fold])
        expected_NC = combine(logits_MNC[:, fold_N == fold], "weighted", weights_M)
        torch.testing.assert_close(found_NC[fold_N == fold], expected_NC)


def test_members_that_guess_have_no_gain_where_they_were_fitted() -> None:
    """Forty that know nothing, on twenty images: fitted there, some fit by chance."""
    draw = torch.Generator().manual_seed(0)
    logits_MNC = 3 * torch.randn(40, 20, 2, generator=draw)
    y_N = torch.arange(20) % 2
    inside = nll(combine(logits_MNC, "weighted", fit_weights(logits_MNC, y_N)), y_N)
    assert inside < 0.5 < math.log(2) < nll(cross_fitted(logits_MNC, y_N), y_N)
    assert cross_fitted(logits_MNC[:, :2], y_N[:2]).isfinite().all(), "a class of one image leaves nothing to fit on"


def test_an_ensemble_of_independent_members_is_better_than_one() -> None:
    logits_MNC, y_N = members(7, 8, count=400)
    mean = sum(accuracy(logits_NC, y_N) for logits_NC in logits_MNC) / 8
    assert accuracy(combine(logits_MNC, "probabilities"), y_N) > mean + 0.05
