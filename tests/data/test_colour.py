"""Operations on colours, and TrivialAugment's: each equals Pillow's, as torchvision uses it, in every pixel.

Legend: B batch, C channels, S edge.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.data import colour, trivial
from pipeline.data.drawn import Trivial
from tests.data import twins

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")),
]
JITTER: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": colour.brightness,
    "contrast": colour.contrast,
    "saturation": colour.saturation,
    "sharpness": colour.sharpness,
}
EDGE = 44  # 44^3 colours of the cube's 256^3, three apart, are about 44 images of 44 x 44


def noise(count: int, channels: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, channels, size, size), dtype=np.uint8)


def cube() -> np.ndarray:
    """Colours of the whole cube, (44, 3, 44, 44)."""
    levels = np.linspace(0, 255, EDGE).round().astype(np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=1)


def sparse(channels: int) -> np.ndarray:
    """Images of few levels, of one, and of a narrow range, where equalising and spreading have their borders."""
    images = noise(6, channels, 33)
    images[1] = 77
    images[2] //= 64
    images[3] = images[3] // 9 + 100
    images[4, :, 5:] = 3
    images[5] = np.arange(33) * 7
    return images


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("factor", [0.0, 0.37, 1.0, 1.21, 1.99])
@pytest.mark.parametrize("name", JITTER)
def test_jitter_equals_pillow(name: str, factor: float, device: str) -> None:
    for images in (cube(), noise(3, 1, 2), noise(3, 3, 7)):
        factor_B = torch.full((len(images),), factor, device=device)
        found = JITTER[name](torch.from_numpy(images).to(device), factor_B).cpu().numpy()
        expected = [twins.pixels(twins.jittered(twins.picture(each), name, factor)) for each in images]
        np.testing.assert_array_equal(found, np.stack(expected))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("turn", [-0.5, -0.123, 0.0, 0.003, 0.31, 0.5])
def test_hue_equals_torchvision_on_pictures(turn: float, device: str) -> None:
    images = cube()
    turn_B = torch.full((len(images),), turn, dtype=torch.float64, device=device)
    found = colour.hue(torch.from_numpy(images).to(device), turn_B).cpu().numpy()
    expected = [twins.pixels(twins.jittered(twins.picture(each), "hue", turn)) for each in images]
    np.testing.assert_array_equal(found, np.stack(expected))


def test_a_grey_image_has_neither_saturation_nor_hue() -> None:
    grey = torch.from_numpy(noise(2, 1, 5))
    assert torch.equal(colour.saturation(grey, torch.tensor([0.2, 1.8])), grey)
    assert torch.equal(colour.hue(grey, torch.tensor([0.2, 0.4], dtype=torch.float64)), grey)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", trivial.OPERATIONS)
def test_trivial_augment_equals_torchvision_on_pictures(name: str, channels: int, device: str) -> None:
    levels = range(-30, 31) if name in trivial.SIGNED else range(31)
    for size in (5, 32, 33):
        images = noise(len(levels), channels, size)
        drawn = Trivial(
            torch.full((len(levels),), trivial.OPERATIONS.index(name), device=device),
            torch.tensor(levels, device=device),
        )
        found = trivial.apply(torch.from_numpy(images).to(device), drawn).cpu().numpy()
        pairs = zip(images, levels, strict=True)
        expected = [twins.pixels(twins.trivial(twins.picture(each), name, level)) for each, level in pairs]
        np.testing.assert_array_equal(found, np.stack(expected))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["autocontrast", "equalize"])
def test_images_of_few_levels_are_spread_as_pillow_does(name: str, channels: int, device: str) -> None:
    images = sparse(channels)
    drawn = Trivial(
        torch.full((6,), trivial.OPERATIONS.index(name), device=device),
        torch.zeros(6, dtype=torch.int64, device=device),
    )
    found = trivial.apply(torch.from_numpy(images).to(device), drawn).cpu().numpy()
    expected = [twins.pixels(twins.trivial(twins.picture(each), name, 0)) for each in images]
    np.testing.assert_array_equal(found, np.stack(expected))


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(2 * len(trivial.OPERATIONS))), st.integers(1, 9))
def test_a_row_is_changed_the_same_in_any_company(order: list[int], threads: int) -> None:
    count = len(order)
    images = torch.from_numpy(noise(count, 3, 9))
    drawn = Trivial(torch.arange(count) % len(trivial.OPERATIONS), torch.arange(count) % 31)
    whole = trivial.apply(images, drawn)
    rows = torch.tensor(order[: count // 2 + 1])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        part = trivial.apply(images[rows], Trivial(drawn.operation_N[rows], drawn.level_N[rows]))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(part, whole[rows])
