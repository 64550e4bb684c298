"""Pixels inside the page."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from pipeline.report.png import LARGEST, data_uri, heat_uri


def decoded(uri: str) -> Image.Image:
    start = "data:image/png;base64,"
    assert uri.startswith(start)
    return Image.open(io.BytesIO(base64.b64decode(uri.removeprefix(start))))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "L")])
def test_pixels_are_those_of_the_image(channels: int, mode: str) -> None:
    x_CHW = np.random.default_rng(0).integers(0, 256, (channels, 5, 5), np.uint8)
    image = decoded(data_uri(x_CHW))
    assert image.mode == mode
    expected = x_CHW.transpose(1, 2, 0) if channels == 3 else x_CHW[0]
    assert (np.asarray(image) == expected).all()


def test_a_large_image_is_made_smaller() -> None:
    assert decoded(data_uri(np.zeros((3, 500, 500), np.uint8))).size == (LARGEST, LARGEST)


def test_heat_goes_from_dark_to_bright() -> None:
    heat = np.asarray(decoded(heat_uri(np.array([[0.0, 1.0], [0.0, 1.0]])))).astype(int).sum(-1)
    assert heat[:, 0].max() < 100
    assert heat[:, -1].min() > 600
