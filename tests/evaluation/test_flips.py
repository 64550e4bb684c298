"""What is lost and won on the same images, and what follows for others: published numbers, twins, all tables."""

import math

import numpy as np
import pytest
from scipy import stats

from pipeline.evaluation.flips import HALF, SURE, Flips, score

TABLES = [(21, 1, 7), (359, 5, 3), (1000, 0, 12), (1000, 40, 2), (50, 0, 0), (7, 7, 0), (7, 0, 7)]


def test_a_published_interval() -> None:
    """Airway reactivity before and after a transplant (Fagerland, Lydersen and Laake 2014, table 2)."""
    found = Flips(21, 1, 7)
    assert found.drop == pytest.approx(-0.286, abs=5e-4)
    assert found.interval == pytest.approx((-0.517, -0.026), abs=5e-4)
    assert found.p == pytest.approx(0.0703, abs=5e-5)


@pytest.mark.parametrize(("count", "lost", "won"), TABLES)
def test_the_score_is_that_of_the_likeliest_table_with_that_drop(count: int, lost: int, won: int) -> None:
    """The twin looks through all shares that may be won for the one under which what was seen is likeliest."""
    for drop in (-0.3, -0.02, 0.01, 0.2):
        won_share = np.linspace(max(0, -drop), (1 - drop) / 2, 400_001)
        both = 1 - 2 * won_share - drop
        with np.errstate(divide="ignore", invalid="ignore"):
            likelihood = sum(
                n * np.log(share) if n else np.zeros_like(share)
                for n, share in ((lost, won_share + drop), (won, won_share), (count - lost - won, both))
            )
        best = won_share[np.nanargmax(likelihood)]
        variance = count * (2 * best + drop * (1 - drop))
        expected = (lost - won - count * drop) / math.sqrt(variance)
        assert score(lost, won, count, drop) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("count", "lost", "won"), TABLES)
def test_bounds_lie_where_the_score_is_and_mirror_each_other(count: int, lost: int, won: int) -> None:
    found, mirrored = Flips(count, lost, won), Flips(count, won, lost)
    low, high = found.interval
    assert -1 <= low <= found.drop <= high <= 1
    assert (low, high) == pytest.approx((-mirrored.interval[1], -mirrored.interval[0]), abs=1e-12)
    for bound, z in ((low, HALF), (high, -HALF), (found.most, -SURE)):
        if abs(bound) < 1:
            assert score(lost, won, count, bound) == pytest.approx(z, abs=1e-6)
    assert found.most <= high


@pytest.mark.parametrize("lost", [0, 1, 4, 9])
@pytest.mark.parametrize("won", [0, 2, 9])
def test_p_is_that_of_the_exact_binomial_test(lost: int, won: int) -> None:
    expected = stats.binomtest(lost, lost + won).pvalue if lost + won else 1.0
    assert Flips(100, lost, won).p == pytest.approx(expected)


def test_sure_is_what_96_percent_lie_below() -> None:
    assert pytest.approx(stats.norm.ppf(0.96)) == SURE and pytest.approx(stats.norm.ppf(0.975)) == HALF


def passes(count: int, drop: float, won: float) -> float:
    """How often a gate at `drop` passes where that is the true drop: the sum over all tables, but the least likely."""
    lost = drop + won
    total = 0.0
    first, last = map(int, stats.binom.ppf([1e-9, 1 - 1e-9], count, lost))
    for b in range(first, last + 1):
        for c in range(int(stats.binom.ppf(1 - 1e-9, count, won)) + 1):
            if score(b, c, count, drop) > -SURE:  # rises with b and falls with c
                continue
            chance = stats.binom.pmf(b, count, lost) * stats.binom.pmf(c, count - b, won / (1 - lost))
            total += float(chance)
    return total


@pytest.mark.parametrize(
    ("count", "drop", "won"),
    [
        (300, 0.01, 0.0),
        (309, 0.01, 0.0),
        (545, 0.005, 0.0),
        (612, 0.005, 0.0),
        (400, 0.01, 0.01),
        (1000, 0.02, 0.0025),
        (900, 0.01, 0.005),
    ],
)
def test_a_gate_lets_through_what_it_should_not_in_one_case_of_twenty_at_most(
    count: int, drop: float, won: float
) -> None:
    assert passes(count, drop, won) <= 0.05


@pytest.mark.long
def test_so_it_is_over_300_to_5000_images() -> None:
    counts = [*range(300, 700, 6), *range(700, 5001, 430)]
    worst = max(
        passes(count, drop, won)
        for count in counts
        for drop in (0.005, 0.01, 0.015, 0.02)
        for won in ((0.0, 0.001, 0.005, 0.02) if count < 700 else (0.0, 0.01))
    )
    assert 0.04 < worst <= 0.05


@pytest.mark.parametrize(("lost", "won"), [(0.0, 0.0), (0.01, 0.01), (0.004, 0.0)])
def test_so_many_images_prove_it_and_one_less_does_not(lost: float, won: float) -> None:
    needed = Flips(1000, round(1000 * lost), round(1000 * won)).needed(0.01)
    assert needed is not None
    assert score(needed * lost, needed * won, needed, 0.01) <= -SURE
    assert score((needed - 1) * lost, (needed - 1) * won, needed - 1, 0.01) > -SURE


def test_what_drops_by_more_is_never_proven() -> None:
    assert Flips(100, 4, 2).needed(0.02) is None and Flips(100, 4, 2).needed(0.01) is None


@pytest.mark.parametrize(("count", "lost", "won"), [(0, 0, 0), (5, 3, 3), (5, -1, 0), (5, 0, -1)])
def test_what_are_no_counts_is_refused(count: int, lost: int, won: int) -> None:
    with pytest.raises(ValueError, match=rf"of {count} images {lost} are lost and {won} won"):
        Flips(count, lost, won)
