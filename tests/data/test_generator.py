import numpy as np

from pipeline.data.generator import generator


def test_equal_keys_give_equal_numbers() -> None:
    np.testing.assert_array_equal(generator(1, "order", 2).random(5), generator(1, "order", 2).random(5))


def test_every_part_of_a_key_counts() -> None:
    keys = [
        (1, "order", 2),
        (2, "order", 2),
        (1, "labels", 2),
        (1, "order", 3),
        (1, "order"),
        ("1", "order", 2),
    ]
    firsts = {float(generator(*key).random()) for key in keys}
    assert len(firsts) == len(keys)


def test_the_stream_is_pinned() -> None:
    """Stored labels and saved training states rely on it: a change must be noticed."""
    assert generator(0, "labels", 1).integers(0, 1000, 4).tolist() == [738, 390, 271, 600]
