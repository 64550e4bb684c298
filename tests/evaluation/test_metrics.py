"""Legend: N samples, C classes."""

import math
import warnings

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.config.select import METRICS
from pipeline.evaluation.metrics import (
    accuracy,
    against,
    agreement,
    brier,
    ece,
    kl,
    measured,
    nll,
    scores,
    top_k,
)


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
    found = {"accuracy": right / count, "nll": likelihood / count, "ece": calibration, "brier": squares / count}
    return found | slow_by_class(logits_NC, y_N)


def slow_by_class(logits_NC: Tensor, y_N: Tensor) -> dict[str, float]:
    """Averages over the classes that have samples, and top-5 of more classes than that: one sample at a time."""
    rows, labels = logits_NC.tolist(), y_N.tolist()
    guesses = [row.index(max(row)) for row in rows]
    recalls, f1 = [], []
    for c in sorted({*labels}):
        right = sum(guess == y == c for guess, y in zip(guesses, labels, strict=True))
        recall, guessed = right / labels.count(c), guesses.count(c)
        precision = right / guessed if guessed else 0.0
        recalls.append(recall)
        f1.append(2 * precision * recall / (precision + recall) if right else 0.0)
    found = {"balanced_accuracy": sum(recalls) / len(recalls), "macro_f1": sum(f1) / len(f1)}
    if logits_NC.shape[1] > 5:
        ranked = [sorted(range(len(row)), key=lambda c, row=row: -row[c]) for row in rows]
        found["top_5"] = sum(y in order[:5] for order, y in zip(ranked, labels, strict=True)) / len(rows)
    return found


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


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(2, 9), st.booleans())
@settings(max_examples=60, deadline=None)
def test_averages_over_classes_are_scikit_learns(seed: int, count: int, classes: int, is_coarse: bool) -> None:
    """Also with equal logits, and with classes that no sample has; scikit-learn's top-5 knows no such ties."""
    logits_NC, y_N = drawn(seed, count, classes)
    logits_NC = logits_NC.round() if is_coarse else logits_NC
    guess_N, y = logits_NC.argmax(1).numpy(), y_N.numpy()
    found, there = scores(logits_NC, y_N), np.unique(y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are guessed and not there, or are there and not guessed
        balanced = sklearn.metrics.balanced_accuracy_score(y, guess_N)
        f1 = sklearn.metrics.f1_score(y, guess_N, labels=there, average="macro")
    assert found["balanced_accuracy"] == pytest.approx(balanced, abs=1e-12)
    assert found["macro_f1"] == pytest.approx(f1, abs=1e-12)
    assert ("top_5" in found) == (classes > 5)
    if classes > 5 and not is_coarse:
        top = sklearn.metrics.top_k_accuracy_score(y, logits_NC.numpy(), k=5, labels=range(classes))
        assert found["top_5"] == pytest.approx(top, abs=1e-12)


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 8), st.booleans())
@settings(max_examples=40, deadline=None)
def test_top_k_rises_from_accuracy_to_one(seed: int, count: int, classes: int, is_coarse: bool) -> None:
    logits_NC, y_N = drawn(seed, count, classes)
    logits_NC = logits_NC.round() if is_coarse else logits_NC
    found = [top_k(logits_NC, y_N, k) for k in range(1, classes + 1)]
    assert found[0] == accuracy(logits_NC, y_N) and found[-1] == 1 and found == sorted(found)


def test_whoever_names_the_largest_class_is_right_in_one_class() -> None:
    y_N = torch.tensor([0] * 90 + [1] * 10)
    logits_NC = torch.tensor([[1.0, 0.0]]).expand(100, 2)
    found = scores(logits_NC, y_N)
    assert (found["accuracy"], found["balanced_accuracy"]) == (0.9, 0.5)
    assert found["macro_f1"] == pytest.approx((2 * 0.9 / 1.9) / 2)


def test_with_classes_of_equal_size_balanced_accuracy_is_accuracy() -> None:
    logits_NC, _ = drawn(3, 60, 6)
    y_N = torch.arange(60) % 6
    assert scores(logits_NC, y_N)["balanced_accuracy"] == pytest.approx(accuracy(logits_NC, y_N), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_what_decides_is_one_of_the_scores_and_better_the_more_is_right(name: str) -> None:
    y_N = torch.tensor([0, 0, 0, 1, 2])
    good, bad = 3 * torch.eye(3)[y_N], 3 * torch.eye(3)[torch.tensor([0, 0, 1, 2, 1])]
    before, after = scores(bad, y_N)[name], scores(good, y_N)[name]
    assert METRICS[name].merit(after) > METRICS[name].merit(before)
    assert measured(good, y_N, [name]) == {name: after}


def test_every_number_of_bins_is_its_own_score() -> None:
    logits_NC, y_N = drawn(1)
    for bins in (1, 2, 10):
        assert ece(logits_NC, y_N, bins) == pytest.approx(slow_scores(logits_NC, y_N, bins)["ece"], abs=1e-9)


@pytest.mark.parametrize("size", [1e3, 1e30])
def test_perfect_confidence_is_a_number(size: float) -> None:
    logits_NC = size * torch.eye(3)
    right_N, wrong_N = torch.arange(3), torch.tensor([1, 2, 0])
    best, worst = {"accuracy": 1, "nll": 0, "ece": 0, "brier": 0}, {"accuracy": 0, "nll": size, "ece": 1, "brier": 2}
    assert scores(logits_NC, right_N) == best | {"balanced_accuracy": 1, "macro_f1": 1}
    assert scores(logits_NC, wrong_N) == pytest.approx(worst | {"balanced_accuracy": 0, "macro_f1": 0})
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
