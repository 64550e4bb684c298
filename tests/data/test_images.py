from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.images import Decoded, pixels


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_exact_pixels_without_a_size_and_at_the_same_size() -> None:
    values_HWC = noise(6, 6, 3)
    for size in (None, 6):
        got_CHW = pixels(Image.fromarray(values_HWC), mode="RGB", size=size)
        np.testing.assert_array_equal(got_CHW, values_HWC.transpose(2, 0, 1))
    assert pixels(Image.fromarray(noise(4, 6)), mode="L", size=None).shape == (1, 4, 6)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "I;16"])
@pytest.mark.parametrize(("target", "channels"), [("RGB", 3), ("L", 1)])
def test_any_mode_becomes_the_one_asked_for(mode: str, target: str, channels: int) -> None:
    grey = Image.fromarray(np.full((4, 4), 255, dtype=np.uint8))
    if mode.startswith("I"):
        picture = Image.fromarray(np.full((4, 4), 65535, dtype=np.int32 if mode == "I" else np.uint16))
    else:
        picture = grey.convert(mode)
    assert picture.mode == mode
    got_CHW = pixels(picture, mode=target, size=None)
    assert got_CHW.dtype == np.uint8
    np.testing.assert_array_equal(got_CHW, np.full((channels, 4, 4), 255))


def test_16_bit_greys_keep_their_high_byte() -> None:
    values_HW = np.array([[0x0000, 0x00FF, 0x1234], [0x7FFF, 0x8000, 0xFFFF]])
    for kind in (np.uint16, np.int32):
        got_CHW = pixels(Image.fromarray(values_HW.astype(kind)), mode="L", size=None)
        assert got_CHW.tolist() == [[[0x00, 0x00, 0x12], [0x7F, 0x80, 0xFF]]]


def test_what_is_transparent_shows_the_background(tmp_path: Path) -> None:
    values_HWC = np.full((2, 2, 4), 255, dtype=np.uint8)
    values_HWC[0, 0, 3] = 0
    got_CHW = pixels(Image.fromarray(values_HWC), mode="RGB", size=None, background=(1, 2, 3))
    np.testing.assert_array_equal(got_CHW[:, 0, 0], [1, 2, 3])
    assert (pixels(Image.fromarray(values_HWC), mode="RGB", size=None) == 255).all()
    np.testing.assert_array_equal(got_CHW[:, 1:], 255)
    Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P").save(tmp_path / "p.png", transparency=b"\x00\xff")
    with Image.open(tmp_path / "p.png") as palette:
        np.testing.assert_array_equal(pixels(palette, mode="L", size=None, background=(0, 0, 0)), [[[0, 1]]])


def test_the_orientation_tag_is_obeyed(tmp_path: Path) -> None:
    values_HW = noise(4, 4)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter clockwise
    Image.fromarray(values_HW).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as picture:
        np.testing.assert_array_equal(pixels(picture, mode="L", size=None)[0], np.rot90(values_HW, -1))


def test_a_size_takes_the_central_square_and_averages_what_it_shrinks() -> None:
    values_HW = np.zeros((4, 12), dtype=np.uint8)
    values_HW[:, 4:8] = np.indices((4, 4)).sum(0) % 2 * 200  # a chequerboard between black borders
    got_CHW = pixels(Image.fromarray(values_HW), mode="L", size=2)
    assert got_CHW.shape == (1, 2, 2)
    assert abs(got_CHW.astype(int) - 100).max() <= 30
    np.testing.assert_array_equal(
        pixels(Image.fromarray(values_HW), mode="L", size=4)[0], values_HW[:, 4:8]
    )  # no scaling, only the crop


def test_decoded_images_come_in_the_order_asked_for() -> None:
    images = Decoded((9, 1, 2, 2), lambda row: np.full((1, 2, 2), row, dtype=np.uint8))
    np.testing.assert_array_equal(images[np.array([5, 0, 8, 5])][:, 0, 0, 0], [5, 0, 8, 5])
