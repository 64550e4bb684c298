"""One picture changed by Pillow is what a batch becomes on a device, bit for bit, operation by operation.

Legend: N images.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.data import trivial
from pipeline.data.drawn import Drawn, Jitter, Trivial
from pipeline.data.framing import pixels
from pipeline.data.render import changed
from pipeline.data.retouch import retouched
from tests.data import twins
from tests.data.test_colour import noise, sparse


def flipped(count: int) -> Drawn:
    still_N = torch.zeros(count, dtype=torch.int64)
    return Drawn(0, still_N, still_N, torch.arange(count) % 2 == 0, None)


def alike(images: np.ndarray, drawn: Drawn) -> None:
    found = [pixels(retouched(twins.picture(image), drawn, row), None) for row, image in enumerate(images)]
    np.testing.assert_array_equal(np.stack(found), changed(torch.from_numpy(images), drawn).numpy())


def kinds(channels: int) -> Iterator[np.ndarray]:
    """Images of 61 levels, sizes that are even and odd, and some of few colours."""
    for size in (5, 32, 33):
        yield noise(61, channels, size)
    yield np.tile(sparse(channels), (11, 1, 1, 1))[:61]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", trivial.OPERATIONS)
def test_trivial_augment_of_every_level(name: str, channels: int) -> None:
    level_N = torch.arange(-30, 31) if name in trivial.SIGNED else torch.arange(61) // 2
    operation_N = torch.full((61,), trivial.OPERATIONS.index(name))
    for images in kinds(channels):
        alike(images, replace(flipped(61), trivial=Trivial(operation_N, level_N)))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("on", ["brightness_N", "contrast_N", "saturation_N", "hue_N", "all"])
def test_colour_jitter_in_every_order(on: str, channels: int) -> None:
    random = np.random.default_rng(4)
    factors = {
        f"{name}_N": torch.from_numpy(random.uniform(0, 2, 61)).float()
        for name in ("brightness", "contrast", "saturation")
    }
    given = factors | {"hue_N": torch.linspace(-0.5, 0.5, 61, dtype=torch.float64)}
    order_NK = torch.from_numpy(np.stack([random.permutation(4) for _ in range(61)]).astype(np.uint8))
    drawn = Jitter(**{name: by_N if on in (name, "all") else None for name, by_N in given.items()}, order_NK=order_NK)
    for images in kinds(channels):
        alike(images, replace(flipped(61), jitter=drawn))
