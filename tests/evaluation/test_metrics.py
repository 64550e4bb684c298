"""Legend: N samples, C classes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.evaluation.metrics import accuracy, against, agreement, brier, ece, kl, nll, scores


def drawn(seed: int, count: int = 40, classes: int = 5, spread: float = 3) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(seed)
    logits_NC = torch.from_numpy(random.normal(0, spread, (count, classes))).float()
    return logits_NC, torch.from_numpy(random.integers(0, classes, count))


def probabilities(row: list[float]) -> list[float]:
    powers = [math.exp(value - max(row)) for value in row]
    return [power / sum(powers) for power in powers]


def slow_scores(logits_NC: Tensor, y_N: Tensor, bins: int = 15) -> dict[str, float]:
    """By the definitions, one sample at a time."""
    rows = [probabilities(row) for row in logits_NC.tolist()]
    count = len(rows)
    right = likelihood = squares = calibration = 0.0
    for p, y in zip(rows, y_N.tolist(), strict=True):
        right += p.index(max(p)) == y
        likelihood -= math.log(p[y])
        squares += sum((p[c] - (c == y)) ** 2 for c in range(len(p)))
    for m in range(1, bins + 1):
        members = [i for i in range(count) if (m - 1) / bins < max(rows[i]) <= m / bins]
        if members:
            exact = sum(rows[i].index(max(rows[i])) == y_N[i].item() for i in members) / len(members)
            confidence = sum(max(rows[i]) for i in members) / len(members)
            calibration += len(members) / count * abs(exact - confidence)
    return {"accuracy": right / count, "nll": likelihood / count, "ece": calibration, "brier": squares / count}


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 8), st.sampled_from([0.1, 1.0, 5.0]))
@settings(max_examples=60, deadline=None)
def test_scores_are_those_of_the_definitions(seed: int, count: int, classes: int, spread: float) -> None:
    logits_NC, y_N = drawn(seed, count, classes, spread)
    assert scores(logits_NC, y_N) == pytest.approx(slow_scores(logits_NC, y_N), abs=1e-9)


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_nearness_is_that_of_the_definitions(seed: int, count: int, classes: int) -> None:
    (logits_NC, _), (teacher_NC, _) = drawn(seed, count, classes), drawn(seed + 1, count, classes)
    same = divergence = 0.0
    for z, t in zip(logits_NC.tolist(), teacher_NC.tolist(), strict=True):
        p, q = probabilities(t), probabilities(z)
        same += z.index(max(z)) == t.index(max(t))
        divergence += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    expected = {"agreement": same / count, "kl": divergence / count}
    assert against(logits_NC, teacher_NC) == pytest.approx(expected, abs=1e-9)


def test_every_number_of_bins_is_its_own_score() -> None:
    logits_NC, y_N = drawn(1)
    for bins in (1, 2, 10):
        assert ece(logits_NC, y_N, bins) == pytest.approx(slow_scores(logits_NC, y_N, bins)["ece"], abs=1e-9)


@pytest.mark.parametrize("size", [1e3, 1e30])
def test_perfect_confidence_is_a_number(size: float) -> None:
    logits_NC = size * torch.eye(3)
    right_N, wrong_N = torch.arange(3), torch.tensor([1, 2, 0])
    assert scores(logits_NC, right_N) == {"accuracy": 1, "nll": 0, "ece": 0, "brier": 0}
    assert scores(logits_NC, wrong_N) == pytest.approx({"accuracy": 0, "nll": size, "ece": 1, "brier": 2})
    assert against(logits_NC, logits_NC) == {"agreement": 1, "kl": 0}
    assert kl(logits_NC, logits_NC.roll(1, 0)) == pytest.approx(size)


def test_one_class_for_all() -> None:
    logits_NC = torch.tensor([[2.0, 0.0, 0.0]]).expand(4, 3)
    y_N = torch.tensor([0, 0, 1, 2])
    confidence = math.exp(2) / (math.exp(2) + 2)
    assert accuracy(logits_NC, y_N) == 0.5
    assert ece(logits_NC, y_N) == pytest.approx(confidence - 0.5)


def test_a_uniform_guess() -> None:
    logits_NC, y_N = torch.zeros(6, 3), torch.arange(6) % 3
    assert nll(logits_NC, y_N) == pytest.approx(math.log(3))
    assert brier(logits_NC, y_N) == pytest.approx(2 / 3)
    assert ece(logits_NC, y_N) == pytest.approx(0, abs=1e-12)


def test_a_confidence_on_an_edge_belongs_to_the_lower_bin() -> None:
    # Half and just above half: one bin would cancel a right and a wrong guess, two bins do not.
    logits_NC = torch.tensor([[0.0, 0.0], [0.001, 0.0]])
    y_N = torch.tensor([0, 1])
    assert ece(logits_NC, y_N, bins=2) == pytest.approx(0.5, abs=1e-3)
    assert ece(logits_NC, y_N, bins=1) == pytest.approx(0, abs=1e-3)


def test_kl_is_of_the_student_from_the_teacher_and_not_the_other_way() -> None:
    student_NC, teacher_NC = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3), 0.0]])
    assert kl(student_NC, teacher_NC) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert agreement(student_NC, teacher_NC) == 1
