import math
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from pipeline.evaluation.flips import Flips
from pipeline.evaluation.statistics import (
    holm,
    p_value,
    paired,
    paired_shares,
    student_t,
    summary,
    unpaired_shares,
)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 10, 29, 100, 1001])
def test_students_t_is_that_of_scipy(share: float, freedom: int) -> None:
    assert student_t(share, freedom) == pytest.approx(stats.t.ppf((1 + share) / 2, freedom), rel=1e-9)


def test_students_t_is_that_of_the_printed_table() -> None:
    table = {1: 12.706, 2: 4.303, 4: 2.776, 9: 2.262, 30: 2.042}
    assert {freedom: round(student_t(0.95, freedom), 3) for freedom in table} == table


def test_a_paired_difference_has_the_interval_of_the_t_test() -> None:
    random = np.random.default_rng(0)
    base = random.normal(80, 5, 10)
    a, b = base + random.normal(1, 0.5, 10), base
    found = paired(a.tolist(), b.tolist())
    interval = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert found.interval == pytest.approx((interval.low, interval.high))
    assert (found.count, found.mean) == (10, pytest.approx((a - b).mean()))
    assert found.deviation == pytest.approx((a - b).std(ddof=1))


def test_pairing_takes_out_what_seeds_share() -> None:
    a, b = [70.0, 80.0, 90.0], [69.0, 79.0, 89.0]
    found = paired(a, b)
    assert (found.mean, found.deviation, found.interval) == (1, 0, (1, 1))
    reverse = paired(b, a)
    assert (reverse.mean, reverse.interval) == (-1, (-1, -1))


def test_a_single_value_has_no_deviation() -> None:
    assert (summary([3.0]).mean, summary([3.0]).deviation) == (3, None)
    found = paired([3.0], [1.0])
    assert (found.count, found.mean, found.deviation, found.interval) == (1, 2, None, None)


def test_a_summary_divides_by_one_less() -> None:
    found = summary([1, 2, 3, 4])
    assert (found.count, found.mean) == (4, 2.5)
    assert found.deviation == pytest.approx(math.sqrt(5 / 3))


def test_arms_of_different_length_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired([1.0, 2.0], [1.0])


def test_neither_torch_nor_scipy_is_imported() -> None:
    code = "import sys, pipeline.evaluation.statistics; sys.exit(bool({'torch', 'scipy', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2]).returncode == 0


def test_shares_on_the_same_samples_are_compared_by_those_that_one_alone_gets_right() -> None:
    found, (low, high) = paired_shares(30, 13, 359), Flips(359, 30, 13).interval
    assert found.mean == 17 / 359
    assert found.deviation == pytest.approx(np.std([1] * 30 + [-1] * 13 + [0] * 316))
    assert found.interval == (low, high)
    worse = paired_shares(13, 30, 359).interval
    assert worse == pytest.approx((-high, -low), abs=1e-12)


def test_without_a_difference_the_interval_has_a_width_still() -> None:
    low, high = paired_shares(0, 0, 50).interval or (0, 0)
    assert low == pytest.approx(-high)
    assert 0 < high < 0.08


def test_the_interval_of_shares_covers() -> None:
    """Of 2,000 draws from known cells, close to 95 % hold the true difference."""
    rng = random.Random(1)
    held = 0
    for _ in range(2000):
        draws = rng.choices(("a", "b", "both"), weights=(0.12, 0.07, 0.81), k=300)
        low, high = paired_shares(draws.count("a"), draws.count("b"), 300).interval or (0, 0)
        held += low <= 0.05 <= high
    assert 0.935 < held / 2000 < 0.97


def test_p_is_that_of_scipys_paired_test() -> None:
    from scipy.stats import ttest_rel

    a, b = [0.8, 0.9, 0.7, 0.85, 0.81], [0.78, 0.83, 0.72, 0.8, 0.75]
    assert p_value(a, b) == pytest.approx(ttest_rel(a, b).pvalue)
    assert p_value(a, a) == 1.0
    assert p_value([1.0, 2.0], [0.0, 1.0]) == 0.0


def test_holms_correction_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03, 0.5]) == pytest.approx([0.09, 0.04, 0.09, 0.5])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_unpaired_shares_are_those_that_newcombe_published() -> None:
    """Method 10 of his second paper of 1998, of 56 in 70 and 48 in 80; and of one, where both counts are equal."""
    low, high = newcombe(56, 70, 48, 80)
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)
    for a, b, count in ((900, 850, 1000), (10, 10, 10), (0, 10, 10)):
        found = unpaired_shares(a, b, count)
        assert found.interval == pytest.approx(newcombe(a, count, b, count))
        assert found.mean == pytest.approx((a - b) / count)


def newcombe(a: int, m: int, b: int, n: int) -> tuple[float, float]:
    """By Wilson's bounds as roots of |p - x| = z sqrt(x (1 - x) / n), which are looked for."""
    z = 1.959963984540054

    def bounds(right: int, count: int) -> tuple[float, float]:
        p, found = right / count, []
        for up in (False, True):
            near, far = p, float(up)
            for _ in range(200):
                x = (near + far) / 2
                near, far = (x, far) if (p - x) ** 2 <= z * z * x * (1 - x) / count else (near, x)
            found.append(near)
        return found[0], found[1]

    (low_a, high_a), (low_b, high_b) = bounds(a, m), bounds(b, n)
    p, q = a / m, b / n
    return (
        p - q - ((p - low_a) ** 2 + (high_b - q) ** 2) ** 0.5,
        p - q + ((high_a - p) ** 2 + (q - low_b) ** 2) ** 0.5,
    )
