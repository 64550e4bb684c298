import numpy as np
import pytest
from PIL import Image

from pipeline.data.images import Decoded, fitted


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_arrays_of_the_size_that_is_asked_for_keep_their_bytes() -> None:
    rows = np.array([2, 0])
    for size in (None, 6):
        np.testing.assert_array_equal(fitted(noise(3, 6, 6), size, False)[rows], noise(3, 6, 6)[rows][:, None])
        np.testing.assert_array_equal(
            fitted(noise(3, 6, 6, 3), size, False)[rows], noise(3, 6, 6, 3)[rows].transpose(0, 3, 1, 2)
        )


@pytest.mark.parametrize("size", [4, 6, 9])
@pytest.mark.parametrize(("colours", "grayscale"), [((), False), ((), True), ((3,), False), ((3,), True)])
def test_arrays_become_what_pillow_makes_of_the_whole_square(
    size: int, colours: tuple[int, ...], grayscale: bool
) -> None:
    """As they always have: their squares are not cropped."""
    values = noise(3, 6, 6, *colours)
    mode = "RGB" if colours and not grayscale else "L"
    images = fitted(values, size, grayscale)
    assert images.shape == (3, len(mode), size, size)
    for row, got_CHW in enumerate(images[np.arange(3)]):
        expected = Image.fromarray(values[row]).convert(mode).resize((size, size), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(got_CHW, np.asarray(expected).reshape(size, size, -1).transpose(2, 0, 1))


def test_decoded_images_come_in_the_order_asked_for() -> None:
    images = Decoded((9, 1, 2, 2), lambda row: np.full((1, 2, 2), row, dtype=np.uint8))
    np.testing.assert_array_equal(images[np.array([5, 0, 8, 5])][:, 0, 0, 0], [5, 0, 8, 5])
