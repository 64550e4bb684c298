"""The square and its resize: whole pixels, none from outside, and a slow twin in exact arithmetic.

Legend: H, W height and width in pixels, S edge of the square.
"""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from pipeline.config.input import Framing
from pipeline.data import render
from pipeline.data.framing import box, framed, pixels
from tests.scratch import ROOT

BOUND = 1.0  # grey levels between Pillow's whole numbers and the filter in float64, at most


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def line(values: list[float], size: int) -> list[float]:
    """A row or column at another size: a triangle around each new pixel's middle, as wide as two of the larger ones."""
    scale = len(values) / size
    reach = max(scale, 1.0)
    result = []
    for position in range(size):
        middle = (position + 0.5) * scale
        weights = [max(0.0, 1 - abs(each + 0.5 - middle) / reach) for each in range(len(values))]
        result.append(math.fsum(w * v for w, v in zip(weights, values, strict=True)) / math.fsum(weights))
    return result


def twin(values_HW: np.ndarray, size: int) -> np.ndarray:
    """What `framed` gives, with loops and floats: float64 (S, S)."""
    height, width = values_HW.shape
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    square = [[float(values_HW[top + row, left + column]) for column in range(edge)] for row in range(edge)]
    rows = [line(row, size) for row in square]
    columns = [line([row[column] for row in rows], size) for column in range(size)]
    return np.array(columns).T


def test_the_box_is_central_whole_and_as_large_as_the_short_side() -> None:
    for width in range(1, 12):
        for height in range(1, 12):
            left, top, right, bottom = box(width, height)
            edge = right - left
            assert edge == bottom - top == min(width, height)
            assert 0 <= (width - edge) - 2 * left <= 1
            assert 0 <= (height - edge) - 2 * top <= 1


@pytest.mark.parametrize(
    ("size", "height", "width"),
    [(8, 8, 8), (8, 31, 20), (8, 20, 31), (5, 33, 47), (16, 33, 16), (7, 40, 41), (1, 9, 12), (12, 5, 8), (9, 64, 21)],
)
def test_it_is_the_slow_twin_within_one_grey_level(size: int, height: int, width: int) -> None:
    for seed, values_HW in enumerate((noise(height, width), (noise(height, width) > 127) * np.uint8(255))):
        got_SS = np.asarray(framed(Image.fromarray(values_HW), size), np.float64)
        assert abs(got_SS - twin(values_HW, size)).max() <= BOUND, seed


@pytest.mark.parametrize(("size", "height", "width"), [(8, 31, 20), (64, 301, 224), (50, 33, 90)])
def test_a_graph_can_repeat_it_within_one_grey_level(size: int, height: int, width: int) -> None:
    """By torch's crop and resize, as a graph that ships has them."""
    values_HWC = noise(height, width, 3)
    left, top, right, _ = box(width, height)
    edge = right - left
    square = torch.from_numpy(values_HWC).permute(2, 0, 1)[None, :, top : top + edge, left : left + edge].double()
    resized = functional.interpolate(square, (size, size), mode="bilinear", antialias=True, align_corners=False)
    assert abs(pixels(Image.fromarray(values_HWC), size) - resized[0].numpy()).max() <= BOUND + 1e-9


@pytest.mark.parametrize("framing", ["crop", "squash", "pad"])
@pytest.mark.parametrize("margin", [0.0, 0.125, 0.3])
def test_it_is_what_a_network_is_shown_of_images_that_are_stored_encoded(framing: Framing, margin: float) -> None:
    for height, width in ((20, 31), (31, 20), (20, 20), (1, 9)):
        whole_CHW = noise(height, width, 3).transpose(2, 0, 1)
        shown = render.framed(torch.tensor([height]), torch.tensor([width]), framing, margin)
        y, x, h, w = (int(each) for each in shown)
        assert box(width, height, framing, margin) == (x, y, x + w, y + h)
        picture = Image.fromarray(whole_CHW.transpose(1, 2, 0))
        found_CHW = pixels(picture, 8, framing, margin)
        cut_CHW = pixels(render.cut(picture, (y, x, h, w), 8), None)
        # Of a crop that is no square Pillow may resize the other direction first, and round there.
        assert abs(found_CHW.astype(int) - cut_CHW).max() <= (framing == "squash")


@pytest.mark.parametrize("size", [(31, 20), (20, 31), (30, 20), (21, 20), (20, 20)])
def test_no_pixel_from_outside_the_box_counts(size: tuple[int, int]) -> None:
    width, height = size
    left, top, right, _ = box(width, height)
    edge = right - left
    inside = noise(edge, edge)
    found = []
    for outside in (0, 255):
        values_HW = np.full((height, width), outside, np.uint8)
        values_HW[top : top + edge, left : left + edge] = inside
        found.append(pixels(Image.fromarray(values_HW), 8))
    np.testing.assert_array_equal(*found)
    np.testing.assert_array_equal(found[0], pixels(Image.fromarray(inside), 8))


def test_the_same_size_keeps_the_bytes_and_no_size_keeps_the_shape() -> None:
    values_HWC = noise(6, 9, 3)
    np.testing.assert_array_equal(pixels(Image.fromarray(values_HWC), 6), values_HWC[:, 1:7].transpose(2, 0, 1))
    np.testing.assert_array_equal(pixels(Image.fromarray(values_HWC), None), values_HWC.transpose(2, 0, 1))
    np.testing.assert_array_equal(pixels(Image.fromarray(values_HWC[..., 0]), None), values_HWC[None, ..., 0])


def test_nothing_crops_between_pixels() -> None:
    """Neither the pipeline nor the code on the card."""
    assert [path for path in (ROOT / "pipeline").rglob("*.py") if "ImageOps.fit(" in path.read_text()] == []
