"""Images that are stored encoded, cut from the stored pictures at the size and framing of each network that looks.

Legend: N images of a split, B batch, C channels, H, W edges of a stored picture, S edge of a view.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pipeline.data.encoded import EncodedImages
from pipeline.data.render import changed, crops, cut, framed
from pipeline.data.rows import Rows, send

if TYPE_CHECKING:
    from pipeline.config.input import Look
    from pipeline.data.drawn import Drawn

CPU = torch.device("cpu")


class FramedImages(EncodedImages):
    """The clean images of a split as a network is shown them: `images[rows]` is uint8 (B, C, S, S).

    They are view 0, as `Pictures` renders it. images: as they are stored. look: of the network.
    """

    def __init__(self, images: EncodedImages, look: Look) -> None:
        super().__init__(
            images._shards, images._places, images.shape[1], look.size, images._threads, images._background
        )
        self._look = look

    def _decode(self, row: int, size: int | None) -> np.ndarray:
        picture_CHW = super()._decode(row, None)
        if size is None:
            return picture_CHW
        height_1, width_1 = (torch.tensor([edge]) for edge in picture_CHW.shape[1:])
        box = framed(height_1, width_1, self._look.framing, self._look.margin)
        return cut(picture_CHW, [int(each) for each in box], size)


def clean(images: np.ndarray | EncodedImages, look: Look | None) -> np.ndarray | EncodedImages:
    """The clean images of a split as a network is shown them; those that are stored as pixels are as they are.

    look: that of the network, None for one that is shown stored pixels.
    """
    return FramedImages(images, look) if isinstance(images, EncodedImages) and look else images


class Pictures:
    """The views of a split whose images are stored encoded, for one device.

    Args:
        images: As they are stored.
        looks: At which sizes and framings views are rendered, one a kind of network that is fed them.
        device: Where views are wanted.
        budget: Bytes; pictures that fit are decoded once and kept.
    """

    def __init__(self, images: EncodedImages, looks: Sequence[Look], device: torch.device, budget: int) -> None:
        self._images = images
        self._looks = looks
        self._device = device
        self._shapes_2N = torch.from_numpy(np.ascontiguousarray(images.sizes[:, ::-1].T))  # height and width
        self._channels = images.shape[1]
        whole = self._channels * int(self._shapes_2N.prod(dim=0).sum())
        self._kept: dict[int, np.ndarray] | None = {} if whole <= budget else None

    def __len__(self) -> int:
        return len(self._images)

    @property
    def values(self) -> int:
        """Numbers in one view, at all sizes."""
        return self._channels * sum(look.size**2 for look in self._looks)

    def render(self, drawn: Drawn, here: Drawn, rows: Rows) -> list[Tensor]:
        """Render a view of some rows, not mixed, at each look: uint8 (B, C, S, S), on the device.

        drawn: of the whole split, on the CPU. here: the same on the device. A picture is decoded once for all looks.
        """
        of_rows = drawn.of(torch.from_numpy(rows.host_B), CPU)
        shapes_2B = self._shapes_2N[:, torch.from_numpy(rows.host_B)]
        boxes_LB4 = [
            torch.stack(crops(of_rows, shapes_2B, look.framing, look.margin), dim=1).tolist() for look in self._looks
        ]
        cut_L = [np.empty((len(rows), self._channels, look.size, look.size), np.uint8) for look in self._looks]

        def cut_one(at: int) -> None:
            picture_CHW = self._picture(int(rows.host_B[at]))
            for crop_BCSS, boxes_B4, look in zip(cut_L, boxes_LB4, self._looks, strict=True):
                crop_BCSS[at] = cut(picture_CHW, boxes_B4[at], look.size)

        self._images.in_threads(cut_one, len(rows))
        changes = here.of(rows.device_B, self._device)
        return [changed(send(torch.from_numpy(each), self._device), changes) for each in cut_L]

    def _picture(self, row: int) -> np.ndarray:
        if self._kept is None:
            return self._images.picture(row)
        if row not in self._kept:
            self._kept[row] = self._images.picture(row)
        return self._kept[row]
