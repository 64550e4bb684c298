import numpy as np
import pytest
import torch

from pipeline.data.batches import Pixels, batches, order
from pipeline.data.rows import Rows

CPU = torch.device("cpu")


def test_an_order_is_a_permutation_of_its_own_for_each_epoch_and_seed() -> None:
    orders = [order(seed, epoch, 50) for seed in (0, 1) for epoch in (0, 1)]
    for rows_N in orders:
        assert rows_N.dtype == np.int64
        assert sorted(rows_N.tolist()) == list(range(50))
    assert len({tuple(rows_N.tolist()) for rows_N in orders}) == 4
    np.testing.assert_array_equal(order(1, 1, 50), orders[3])


@pytest.mark.parametrize(
    ("count", "size", "lengths"),
    [
        (10, 5, [5, 5]),
        (10, 4, [4, 3, 3]),
        (9, 4, [3, 3, 3]),  # no last sample alone, and none left out
        (290, 32, [29] * 10),
        (291, 32, [30] + [29] * 9),
        (33, 32, [17, 16]),
        (3, 1, [1, 1, 1]),
        (1, 4, [1]),
        (3, 8, [3]),
        (0, 8, []),
    ],
)
def test_batches_keep_the_order_and_differ_by_one_sample_at_most(count: int, size: int, lengths: list[int]) -> None:
    rows_N = order(0, 0, count)
    found = batches(rows_N, size)
    assert [len(rows_B) for rows_B in found] == lengths
    np.testing.assert_array_equal(np.concatenate([*found, rows_N[:0]]), rows_N)


def test_there_are_as_few_batches_as_the_size_allows_and_they_are_even() -> None:
    for count in range(1, 70):
        for size in range(1, 72):
            lengths = [len(rows_B) for rows_B in batches(np.arange(count), size)]
            assert sum(lengths) == count and len(lengths) == -(-count // size)
            assert max(lengths) <= size and max(lengths) - min(lengths) <= 1
            assert lengths == sorted(lengths, reverse=True), "what is compiled for a size meets it in one row"


@pytest.mark.parametrize("budget", [0, 10**6])
def test_pixels_are_the_same_resident_or_read_by_the_batch(tmp_path, budget: int) -> None:
    images_NCHW = np.random.default_rng(0).integers(0, 256, (20, 3, 4, 4), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images_NCHW)
    pixels = Pixels(np.load(tmp_path / "images.npy", mmap_mode="r"), CPU, budget)
    rows_B = np.array([7, 0, 19, 7])
    rows = Rows.on(CPU, rows_B)
    got_BCHW = pixels[rows]
    assert got_BCHW.dtype == torch.uint8
    np.testing.assert_array_equal(got_BCHW.numpy(), images_NCHW[rows_B])
    got_BCHW.zero_()  # what is handed out is a copy
    np.testing.assert_array_equal(pixels[rows].numpy(), images_NCHW[rows_B])
    assert len(pixels) == 20
    parts = rows.split(3)
    for each_BCHW, part in zip(pixels.each(parts), parts, strict=True):
        np.testing.assert_array_equal(each_BCHW.numpy(), images_NCHW[part.host_B])


def test_images_at_the_budget_are_resident_and_above_it_are_not() -> None:
    images_NCHW = np.zeros((4, 1, 2, 2), dtype=np.uint8)
    at, below = (Pixels(images_NCHW, CPU, budget) for budget in (16, 15))
    images_NCHW[:] = 9  # seen only by the one that reads again
    first = Rows.on(CPU, np.array([0]))
    assert at[first].max() == 0
    assert below[first].min() == 9
