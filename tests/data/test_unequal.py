"""Classes of unequal size: weights and orders, beside scikit-learn and slow twins."""

from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from pipeline.base.errors import UserError
from pipeline.data.batches import order
from pipeline.data.unequal import balanced_order, balanced_weights, class_weights, weighted_order

Labels = st.lists(st.integers(-1, 5), min_size=1, max_size=80).map(lambda each: np.array(each, np.int64))


@settings(deadline=None)
@given(Labels)
def test_weights_are_scikit_learns_and_their_mean_over_the_images_is_one(labels_N: np.ndarray) -> None:
    weights_C = class_weights(labels_N, 7)
    known_M = labels_N[labels_N >= 0]
    there = np.unique(known_M)
    assert weights_C.dtype == np.float32 and weights_C.shape == (7,)
    assert not weights_C[[c for c in range(7) if c not in there]].any()
    if len(known_M):
        expected = compute_class_weight("balanced", classes=there, y=known_M)
        np.testing.assert_allclose(weights_C[there], expected, rtol=1e-6)
        assert weights_C[known_M].mean() == pytest.approx(1, rel=1e-5)


@settings(deadline=None)
@given(Labels, st.integers(0, 3), st.integers(0, 3))
def test_an_epoch_has_as_many_of_each_class_and_shares_them_evenly(labels_N: np.ndarray, seed: int, epoch: int) -> None:
    rows_N = balanced_order(seed, epoch, labels_N)
    assert rows_N.dtype == np.int64 and len(rows_N) == len(labels_N), "an epoch is as long as any other"
    np.testing.assert_array_equal(rows_N, balanced_order(seed, epoch, labels_N))
    times = Counter(rows_N.tolist())
    sizes = []
    for c in np.unique(labels_N):
        own = np.flatnonzero(labels_N == c)
        counts = [times[row] for row in own.tolist()]
        assert max(counts) - min(counts) <= 1, "no image of a class before its turn"
        if c < 0:
            assert {*counts} == {1}, "an image without a label comes once"
        else:
            sizes.append(sum(counts))
    assert not sizes or max(sizes) - min(sizes) <= 1


def test_orders_of_other_epochs_and_seeds_are_others_and_draw_other_images() -> None:
    labels_N = np.array([0] * 40 + [1] * 4)
    found = [balanced_order(seed, epoch, labels_N) for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(each.tolist()) for each in found}) == 4
    of_the_large = [{*each[labels_N[each] == 0].tolist()} for each in found]
    assert all(len(each) == 22 for each in of_the_large), "of a large class some, none twice"
    assert of_the_large[0] != of_the_large[1]
    assert {*map(tuple, map(sorted, found))} != {tuple(sorted(order(0, 0, 44)))}


def test_which_class_has_one_more_is_drawn() -> None:
    """10 images, 3 classes: one of them has 4. Always the first one would be a class more often than the others."""
    labels_N = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 2])
    most = {int(np.bincount(labels_N[balanced_order(0, epoch, labels_N)]).argmax()) for epoch in range(30)}
    assert most == {0, 1, 2}


def test_the_place_of_a_class_within_the_epoch_is_by_chance() -> None:
    """Batches are parts of the order: one class after the other would make batches of one class."""
    labels_N = np.array([0] * 90 + [1] * 10)
    first_half = [int((labels_N[balanced_order(0, epoch, labels_N)[:50]] == 1).sum()) for epoch in range(20)]
    assert all(10 < each < 40 for each in first_half) and len({*first_half}) > 3


Weights = st.lists(st.sampled_from([0.0, 0.25, 1.0, 1.5, 7.0]), min_size=1, max_size=60).map(np.array)


@settings(deadline=None)
@given(Weights, st.integers(0, 3), st.integers(0, 3))
def test_a_row_comes_as_often_as_its_weight_says_rounded_down_or_up(
    weights_N: np.ndarray, seed: int, epoch: int
) -> None:
    if not weights_N.any():
        with pytest.raises(UserError, match="all images to learn from have the weight 0"):
            weighted_order(seed, epoch, weights_N)
        return
    rows_N = weighted_order(seed, epoch, weights_N)
    assert rows_N.dtype == np.int64 and len(rows_N) == len(weights_N)
    np.testing.assert_array_equal(rows_N, weighted_order(seed, epoch, weights_N))
    wanted_N = len(weights_N) * weights_N / weights_N.sum()
    found_N = np.bincount(rows_N, minlength=len(weights_N))
    assert (np.abs(found_N - wanted_N) < 1 + 1e-9).all() and not found_N[weights_N == 0].any()


def test_over_many_epochs_rows_come_as_often_as_their_weights_say_in_an_order_of_their_own() -> None:
    weights_N = np.array([1, 1, 1, 1, 1, 1, 1, 2.5, 0.3, 0])
    orders = [weighted_order(3, epoch, weights_N) for epoch in range(2000)]
    found_N = np.bincount(np.concatenate(orders), minlength=10) / 2000
    np.testing.assert_allclose(found_N, 10 * weights_N / weights_N.sum(), atol=0.05)
    assert len({tuple(each.tolist()) for each in orders}) > 1990
    both = [not {0, 1} & {*weighted_order(3, epoch, np.array([1, 1, 1, 1, 4.0])).tolist()} for epoch in range(50)]
    assert any(both) and not all(both), "neighbours are drawn no more and no less together than others"
    first = np.bincount([each[0] for each in orders], minlength=10) / 2000
    np.testing.assert_allclose(first, weights_N / weights_N.sum(), atol=0.04)


@settings(deadline=None)
@given(Labels, st.randoms(use_true_random=False))
def test_balanced_classes_share_an_epoch_and_their_images_by_weight(labels_N: np.ndarray, random: Random) -> None:
    weights_N = np.array([random.choice([0.0, 0.5, 1.0, 3.0]) for _ in labels_N])
    found_N = balanced_weights(weights_N, labels_N)
    sums = {c: found_N[labels_N == c].sum() for c in np.unique(labels_N) if weights_N[labels_N == c].any()}
    assert len({round(whole, 9) for c, whole in sums.items() if c >= 0}) <= 1
    if -1 in sums:
        assert sums[-1] == pytest.approx((labels_N == -1).sum())
    for c in sums:
        own_M, given_M = found_N[labels_N == c], weights_N[labels_N == c]
        np.testing.assert_allclose(own_M * given_M.sum(), given_M * own_M.sum())


def test_classes_count_by_what_is_drawn_of_them() -> None:
    labels_N, weights_N = np.array([0, 0, 1, -1]), np.array([1.0, 2.0, 6.0, 5.0])
    np.testing.assert_allclose(class_weights(labels_N, 3, weights_N), [9 / 2 / 3, 9 / 2 / 6, 0])
    np.testing.assert_array_equal(class_weights(labels_N, 3, np.ones(4)), class_weights(labels_N, 3))
