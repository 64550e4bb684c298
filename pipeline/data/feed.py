"""Batches of a view, as the networks of a stage are fed it: several augmented at once where they are small.

Networks that are shown images in different ways (`config.input.Rendering`) see the same view, rendered for each: then a
row of a batch holds all renderings, one after the other, and each network takes its own (`models.shown`).

Legend: B batch, C channels, H = W edge in pixels, P numbers of a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pipeline.data.batches import Pixels
from pipeline.data.drawn import Drawn
from pipeline.data.encoded import EncodedImages
from pipeline.data.pictures import Pictures
from pipeline.data.render import mix, render
from pipeline.data.rows import Rows, send
from pipeline.data.views import augment, normalise

if TYPE_CHECKING:
    from pipeline.config.input import Rendering

# Float32 bytes augmented at once, one batch at least: that is twenty calls whatever the size, a tiny network's step not
# many more. On a CPU the pixels must still lie in the processor's cache when their turn comes.
AHEAD_BYTES = {"cpu": 1 << 20, "cuda": 64 << 20}


def fed(
    images: np.ndarray | EncodedImages, renderings: Sequence[Rendering], device: torch.device, budget: int
) -> Pixels | Pictures:
    """What views of a split are made of, for one device.

    renderings: as of `models.shown.Shown`: of images that are stored encoded; none where pixels are stored.
    """
    if isinstance(images, EncodedImages) and renderings:
        return Pictures(images, renderings, device, budget)
    return Pixels(images, device, budget)


def augment_ahead(
    images: Pixels | Pictures,
    drawn: Drawn,
    batches: Sequence[Rows],
    mean_C: Tensor,
    std_C: Tensor,
    ahead: int | None = None,
) -> Iterator[Tensor]:
    """Yield a view of each batch of rows, normalised: float32 (B, C, H, W), or (B, P) of several renderings.

    drawn: on the CPU. batches: on the device of `mean_C`. ahead: bytes that may be augmented at once; by default what
    suits the device. How many batches are augmented at once, and with which rows, decides no bit.
    """
    if ahead is None:
        ahead = AHEAD_BYTES.get(mean_C.device.type, AHEAD_BYTES["cpu"])
    here = drawn.to(mean_C.device)
    start = 0
    while start < len(batches):
        several = max(1, ahead // max(1, 4 * len(batches[start]) * images.values))
        group = batches[start : start + several]
        rows = Rows.joined(group)
        yield from _view(images, drawn, here, rows, mean_C, std_C).split([len(each) for each in group])
        start += several


def _view(images: Pixels | Pictures, drawn: Drawn, here: Drawn, rows: Rows, mean_C: Tensor, std_C: Tensor) -> Tensor:
    """A view of some rows. drawn: of the whole split, on the CPU; here: the same on the device."""
    if drawn.mixed is None and isinstance(images, Pixels):
        return augment(images[rows], here, rows.device_B, mean_C, std_C)
    made = _mixed(images, drawn, here, rows) if drawn.mixed else _rendered(images, drawn, here, rows)
    shown = [normalise(each, mean_C, std_C) for each in made]
    return shown[0] if len(shown) == 1 else torch.cat([each.flatten(1) for each in shown], dim=1)


def _rendered(images: Pixels | Pictures, drawn: Drawn, here: Drawn, rows: Rows) -> list[Tensor]:
    """The view before it is mixed, uint8 (B, C, H, W), in each rendering."""
    if isinstance(images, Pictures):
        return images.render(drawn, here, rows)
    pixels_BCHW = images[rows]
    return [render(pixels_BCHW, here, rows.device_B, pixels_BCHW.shape[-1])]


def _mixed(images: Pixels | Pictures, drawn: Drawn, here: Drawn, rows: Rows) -> list[Tensor]:
    """Each row mixed with the same view of its own partner, float32 0 .. 255.

    Each image is rendered once, though it be there as itself and as a partner.
    """
    assert drawn.mixed is not None and here.mixed is not None
    device = rows.device_B.device
    partner_B = drawn.mixed.partner_N[torch.from_numpy(rows.host_B)].numpy()
    needed, places = np.unique(np.concatenate([rows.host_B, partner_B]), return_inverse=True)
    views = _rendered(images, drawn, here, Rows(needed, send(torch.from_numpy(needed), device)))
    own_B, at_B = send(torch.from_numpy(places), device).chunk(2)
    mixture = here.of(rows.device_B, device).mixed
    assert mixture is not None
    return [mix(each[own_B], each[at_B], mixture) for each in views]
