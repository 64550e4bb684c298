"""Which images are answered: the promise holds, and as many are answered as it allows."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import beta

from pipeline.evaluation.abstaining import TRIED, fewest, promise, proven, tries

ERROR = 0.02
# How often an image is wrong, by its place among the sure ones, 0 the least sure: some fall, some hardly.
SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "falls": lambda u: 0.4 * (1 - u) ** 3,
    "falls in a line": lambda u: 0.1 * (1 - u),
    "falls at once": lambda u: np.where(u < 0.5, 0.5, 0.001),
    "hardly falls": lambda u: 0.03 - 0.012 * u,
    "does not fall": lambda u: 0.022 + 0 * u,
    "is just too much": lambda u: 0.0205 + 0 * u,
}


def broken(shape: str, count: int, times: int) -> tuple[float, float]:
    """The share of draws whose promise is broken, and of images that are answered where one is given."""
    generator = np.random.default_rng(0)
    wrong = SHAPES[shape]
    grid = (np.arange(20_000) + 0.5) / 20_000
    above = np.cumsum(wrong(grid)[::-1])[::-1] / np.arange(20_000, 0, -1)
    failed, answered = 0, []
    for _ in range(times):
        sure_N = generator.random(count)
        found = promise(sure_N, generator.random(count) >= wrong(sure_N), ERROR)
        if found:
            failed += above[min(int(found.threshold * 20_000), 19_999)] > ERROR
            answered.append(1 - found.threshold)
    return failed / times, float(np.mean(answered)) if answered else 0.0


@pytest.mark.parametrize(("shape", "count"), [("falls", 1000), ("hardly falls", 300), ("is just too much", 1000)])
def test_it_is_broken_in_one_case_of_twenty_at_most(shape: str, count: int) -> None:
    times = 300
    assert broken(shape, count, times)[0] <= 0.05 + 2 * (0.05 * 0.95 / times) ** 0.5


@pytest.mark.long
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [300, 1000, 3000, 10_000])
def test_it_is_broken_in_one_case_of_twenty_at_most_by_many_draws(shape: str, count: int) -> None:
    times = 2000
    share, _ = broken(shape, count, times)
    assert share <= 0.05 + 2 * (0.05 * 0.95 / times) ** 0.5


def test_what_is_answered_grows_with_what_is_known() -> None:
    assert [broken("falls", count, 60)[1] > least for count, least in ((1000, 0.35), (10_000, 0.48))] == [True, True]


@pytest.mark.parametrize(("error", "least"), [(0.005, 947), (0.01, 473), (0.02, 236), (0.05, 93), (0.1, 46)])
def test_so_many_images_allow_one_error(error: float, least: int) -> None:
    assert fewest(error) == least
    bounds = [beta.ppf(0.95, 2, count - 1) for count in (least, least - 1)]  # Clopper and Pearson's, of one error
    assert bounds[0] <= error < bounds[1]
    assert [proven(count, 1, error) for count in (least, least - 1)] == [True, False]


def test_fewer_images_than_allow_one_error_prove_nothing() -> None:
    least = fewest(ERROR)
    sure_N = np.linspace(1, 0.5, least)
    assert promise(sure_N[1:], np.ones(least - 1, dtype=bool), ERROR) is None
    found = promise(sure_N, np.ones(least, dtype=bool), ERROR)
    assert found is not None
    assert (found.answered, found.wrong, found.threshold) == (least, 0, 0.0)


def test_the_first_failure_ends_it() -> None:
    """Twenty wrong ones in the middle: what comes after them would be proven again."""
    sure_N, right_N = np.linspace(1, 0, 20_000), np.ones(20_000, dtype=bool)
    right_N[300:320] = False
    assert proven(20_000, 20, ERROR)
    found = promise(sure_N, right_N, ERROR)
    assert found is not None
    assert found.answered == 298  # the second of the numbers that are tried; the third has some of them
    assert round(236 * (20_000 / 236) ** (1 / (TRIED - 1))) == 298


def test_equally_sure_images_are_answered_together() -> None:
    sure_N, right_N = np.array([0.9] * 1000 + [0.5] * 1000), np.array([True] * 1000 + [False] * 1000)
    found = promise(sure_N, right_N, ERROR)
    assert found is not None
    assert (found.answered, found.wrong) == (1000, 0)
    assert found.threshold == pytest.approx(0.7)  # between two images
    assert promise(np.full(2000, 0.5), right_N, ERROR) is None


@pytest.mark.parametrize("seed", range(20))
def test_what_is_answered_in_any_precision_is_what_was_proven(seed: int) -> None:
    """Saturated probabilities lie so close that rounding alone would order them."""
    generator = np.random.default_rng(seed)
    sure_N = 1 / (1 + np.exp(-generator.gamma(2, 5, 3000)))
    right_N = generator.random(3000) < 1 - 0.3 * (1 - sure_N)
    found = promise(sure_N, right_N, 0.005)
    assert found is not None
    for shown_N in (sure_N, sure_N.astype(np.float32)):
        answered_N = shown_N >= found.threshold
        assert (int(answered_N.sum()), int((~right_N[answered_N]).sum())) == (found.answered, found.wrong)
    assert found.answered > 1000


def test_images_that_no_runtime_tells_apart_are_answered_together() -> None:
    sure_N = np.array([1 - 1e-9] * 400 + [1 - 2.0**-24] * 300 + [0.5] * 300)
    found = promise(sure_N, np.array([True] * 700 + [False] * 300), 0.01)
    assert found is not None and (found.answered, found.threshold) == (700, pytest.approx(0.75))


def test_what_was_tried_first_is_told_with_all_that_are_as_sure() -> None:
    right_N = np.ones(1000, dtype=bool)
    right_N[-30:] = False
    assert promise(np.full(1000, 0.9), right_N, 0.02) is None
    first = next(tries(np.full(1000, 0.9), right_N, 0.02))
    assert (first.answered, first.wrong) == (1000, 30)


def test_the_order_of_images_does_not_matter() -> None:
    generator = np.random.default_rng(3)
    sure_N = generator.random(2000).round(2)
    right_N = generator.random(2000) < 0.9 + 0.1 * sure_N
    turned = generator.permutation(2000)
    assert promise(sure_N, right_N, 0.1) == promise(sure_N[turned], right_N[turned], 0.1)
