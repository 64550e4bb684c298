"""Views of images that are stored encoded: cut from the stored pictures at the size and framing of each network."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pipeline.config.input import Input, Rendering
from pipeline.config.views import Views
from pipeline.data.decode import decode
from pipeline.data.drawn import Drawn
from pipeline.data.encoded import EncodedImages
from pipeline.data.feed import augment_ahead, fed
from pipeline.data.pictures import Pictures, clean
from pipeline.data.render import mix, render
from pipeline.data.rows import Rows
from pipeline.data.views import draw, normalise
from pipeline.models.shown import Shown
from tests.data import twins
from tests.data.pictures import stored

COUNT, EDGE = 23, 16
SIZES = [(40 + 3 * row, 30 + row % 7) if row % 2 else (24 + row % 5, 31 + 2 * row) for row in range(COUNT)]
CPU = torch.device("cpu")
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
MEAN_C, STD_C = torch.tensor(MEAN), torch.tensor(STD)
RENDERINGS = (Rendering(EDGE), Rendering(24, "squash"), Rendering(11, "pad", 0.1), Rendering(24, "crop", 0.25))
STRONG = Views(preset="strong", shift=2, hue=0.2, contrast=0.3)
MIXED = STRONG.model_copy(update={"mixup": 0.4, "cutmix": 1.0})
ROWS = Rows.on(CPU, np.array([5, 0, 22, 5, 13, 7, 1]))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> EncodedImages:
    return stored(tmp_path_factory.mktemp("pictures") / "shards", SIZES, EDGE)


@pytest.fixture(scope="module")
def aspect_N(images: EncodedImages) -> np.ndarray:
    return images.sizes[:, 0] / images.sizes[:, 1]


def alone(images: EncodedImages, views: Views, aspect_N: np.ndarray, rendering: Rendering, v: int = 1) -> Tensor:
    """A view of each image by itself, mixed after it is rendered, float32 0 .. 255 (N, C, S, S)."""
    drawn = draw(views, 3, "labels", v, COUNT, EDGE, aspect_N)
    each = [
        render([images.picture(row)], drawn, torch.tensor([row]), rendering.size, rendering.framing, rendering.margin)
        for row in range(COUNT)
    ]
    whole = torch.cat(each)
    return whole.float() if drawn.mixed is None else mix(whole, whole[drawn.mixed.partner_N], drawn.mixed)


@pytest.mark.parametrize("rendering", RENDERINGS, ids=str)
def test_clean_images_are_view_0_as_a_network_is_shown_them(images: EncodedImages, rendering: Rendering) -> None:
    shown = clean(images, rendering)
    assert shown.shape == (COUNT, 3, rendering.size, rendering.size) and shown.nbytes == COUNT * 3 * rendering.size**2
    found = shown[ROWS.host_B]
    drawn = draw(STRONG, 3, "labels", 0, COUNT, EDGE)
    (rendered,) = _rendered(images, rendering, drawn)
    np.testing.assert_array_equal(found, rendered.numpy())
    for row, image in zip(ROWS.host_B, found, strict=True):
        width, height = SIZES[row]
        edges = (height, width)
        if rendering.framing != "squash":
            edges = ((min if rendering.framing == "crop" else max)(edges),) * 2
        h, w = (round(edge * (1 - rendering.margin)) for edge in edges)
        box = ((height - h) // 2, (width - w) // 2, h, w)
        expected = twins.pixels(twins.cut(twins.picture(images.picture(int(row))), *box, size=rendering.size))
        np.testing.assert_array_equal(image, expected)
        if rendering == RENDERINGS[0]:  # what a file is shown as once the network ships
            np.testing.assert_array_equal(image, decode(images.content(int(row)), mode="RGB", size=EDGE))


def _rendered(images: EncodedImages, rendering: Rendering, drawn: Drawn) -> list[Tensor]:
    pictures = Pictures(images, [rendering], CPU, 0)
    return pictures.render(pictures.cut(drawn, ROWS.host_B), drawn, ROWS)


def test_stored_pixels_are_shown_as_they_are() -> None:
    pixels = np.zeros((3, 1, 4, 4), np.uint8)
    assert clean(pixels, None) is pixels and clean(pixels, RENDERINGS[1]) is pixels


@pytest.mark.parametrize("views", [Views(), Views(shift=2, flip=True), Views(scale=0.3), STRONG, MIXED], ids=str)
@pytest.mark.parametrize(
    ("ahead", "budget", "threads", "beside"),
    [(0, 0, 1, 0), (1 << 20, 1 << 20, 4, 0), (9000, 1 << 20, 1, 1), (0, 1 << 20, 2, 1), (0, 0, 1, 8)],
)
def test_a_view_is_cut_for_each_rendering_and_a_row_has_them_all(
    images: EncodedImages,
    aspect_N: np.ndarray,
    views: Views,
    ahead: int,
    budget: int,
    threads: int,
    beside: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same bits in any batch, by any number of threads, kept or not, beside other renderings or alone."""
    monkeypatch.setattr(images, "threads", threads)
    inputs = [None, *(Input(each.size, MEAN[::-1], STD, each.framing, each.margin) for each in RENDERINGS[1:])]
    shown = Shown(inputs, MEAN, STD, CPU, RENDERINGS[0])
    assert shown.renderings == RENDERINGS
    drawn = draw(views, 3, "labels", 1, COUNT, EDGE, aspect_N)
    batches = ROWS.split(3)
    together = augment_ahead(
        fed(images, shown.renderings, CPU, budget), drawn, batches, shown.mean_C, shown.std_C, ahead, beside
    )
    x_BP = torch.cat([*together])
    assert x_BP.shape == (len(ROWS), 3 * sum(each.size**2 for each in RENDERINGS))
    for rendering, input in zip(RENDERINGS, inputs, strict=True):
        mean_C = torch.tensor(input.mean) if input else MEAN_C
        expected = normalise(alone(images, views, aspect_N, rendering)[ROWS.device_B], mean_C, STD_C)
        assert torch.equal(shown.to(input)(x_BP), expected)
        own = Shown([input], MEAN, STD, CPU, RENDERINGS[0])
        fed_alone = fed(images, own.renderings, CPU, budget)
        one = torch.cat([*augment_ahead(fed_alone, drawn, batches, own.mean_C, own.std_C, ahead, beside)])
        assert torch.equal(own.to(input)(one), expected)


@pytest.mark.parametrize("keeps", [True, False])
def test_a_picture_is_decoded_once_for_all_renderings_and_all_that_it_is_mixed_into(
    images: EncodedImages, aspect_N: np.ndarray, monkeypatch: pytest.MonkeyPatch, keeps: bool
) -> None:
    decoded: list[int] = []
    real = EncodedImages.shown

    def shown(self: EncodedImages, row: int, use: Callable[[Image.Image], Any]) -> Any:
        decoded.append(row)
        return real(self, row, use)

    monkeypatch.setattr(EncodedImages, "shown", shown)
    whole = 4 * sum(width * height for width, height in SIZES)
    of = fed(images, RENDERINGS, CPU, whole if keeps else whole - 1)
    rows = Rows.on(CPU, np.arange(COUNT))
    for v in (1, 2):
        assert len([*augment_ahead(of, draw(MIXED, 3, "labels", v, COUNT, EDGE, aspect_N), [rows], MEAN_C, STD_C)]) == 1
    assert sorted(decoded) == sorted([*range(COUNT)] * (1 if keeps else 2))
