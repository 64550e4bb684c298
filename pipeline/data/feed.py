"""Batches of a view, as the networks of a stage are fed it: several augmented at once where they are small.

Networks that are shown images in different ways (`config.input.Rendering`) see the same view, rendered for each: then a
row of a batch holds all renderings, one after the other, and each network takes its own (`models.shown`).

Legend: B batch, C channels, H = W edge in pixels, P numbers of a row.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pipeline.data.ahead import in_order
from pipeline.data.batches import Pixels, beside
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
    threads: int | None = None,
) -> Generator[Tensor, None, None]:
    """Yield a view of each batch of rows, normalised: float32 (B, C, H, W), or (B, P) of several renderings.

    drawn: on the CPU. batches: on the device of `mean_C`. ahead: bytes that may be augmented at once. threads:
    that read and cut what comes next while the device computes. Both by default as suits it, and neither decides a bit.
    """
    if ahead is None:
        ahead = AHEAD_BYTES.get(mean_C.device.type, AHEAD_BYTES["cpu"])
    if threads is None:
        threads = 0 if isinstance(images, Pixels) and images.are_resident else beside(mean_C.device)
    here = drawn.to(mean_C.device)
    groups = [*_groups(batches, ahead // max(1, 4 * images.values))]
    rows_G = (np.concatenate([each.host_B for each in group]) for group in groups)
    with closing(in_order(partial(_fetched, images, drawn), rows_G, threads)) as found:
        for group, each in zip(groups, found, strict=True):
            view = _view(images, each, here, Rows.joined(group), mean_C, std_C)
            yield from view.split([len(rows) for rows in group])


def _groups(batches: Sequence[Rows], most: int) -> Iterator[Sequence[Rows]]:
    """Batches that are augmented at once: of `most` rows by the first of them, and one at least."""
    start = 0
    while start < len(batches):
        several = max(1, most // max(1, len(batches[start])))
        yield batches[start : start + several]
        start += several


@dataclass(frozen=True)
class _Fetched:
    """What the host has for a view of some rows.

    Attributes:
        needed_N: The images that it is made of.
        places: Where in them each row is, and then where its partner is; None where a row is one image.
        cut: Of these images what `Pixels.read` gives, or `Pictures.cut`.
    """

    needed_N: np.ndarray
    places: np.ndarray | None
    cut: Any


def _fetched(images: Pixels | Pictures, drawn: Drawn, rows_B: np.ndarray) -> _Fetched:
    """Each image is rendered once, though it be there as itself and as a partner. drawn: of the whole split."""
    places = None
    if drawn.mixed is not None:
        partner_B = drawn.mixed.partner_N[torch.from_numpy(rows_B)].numpy()
        rows_B, places = np.unique(np.concatenate([rows_B, partner_B]), return_inverse=True)
    cut = images.cut(drawn, rows_B) if isinstance(images, Pictures) else images.read(rows_B)
    return _Fetched(rows_B, places, cut)


def _view(
    images: Pixels | Pictures, fetched: _Fetched, here: Drawn, rows: Rows, mean_C: Tensor, std_C: Tensor
) -> Tensor:
    """A view of some rows. here: of the whole split, on the device."""
    if fetched.places is not None:
        made = _mixed(images, fetched, fetched.places, here, rows)
    elif isinstance(images, Pixels):
        return augment(images.of(fetched.cut, rows), here, rows, mean_C, std_C)
    else:
        made = images.render(fetched.cut, here, rows)
    shown = [normalise(each, mean_C, std_C) for each in made]
    return shown[0] if len(shown) == 1 else torch.cat([each.flatten(1) for each in shown], dim=1)


def _mixed(images: Pixels | Pictures, fetched: _Fetched, places: np.ndarray, here: Drawn, rows: Rows) -> list[Tensor]:
    """Each row mixed with the same view of its own partner, float32 0 .. 255, in each rendering."""
    device = rows.device_B.device
    needed = Rows(fetched.needed_N, send(torch.from_numpy(fetched.needed_N), device))
    if isinstance(images, Pictures):
        views = images.render(fetched.cut, here, needed)
    else:
        pixels_BCHW = images.of(fetched.cut, needed)
        views = [render(pixels_BCHW, here, needed, pixels_BCHW.shape[-1])]
    own_B, at_B = send(torch.from_numpy(places), device).chunk(2)
    mixture = here.of(rows, device).mixed
    assert mixture is not None
    return [mix(each[own_B], each[at_B], mixture) for each in views]
