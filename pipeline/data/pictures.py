"""Images that are stored encoded, cut from the stored pictures at the size and framing of each network.

Legend: N images of a split, B batch, C channels, H, W edges of a stored picture, S edge of a view, R renderings.
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
    from pipeline.config.input import Rendering
    from pipeline.data.drawn import Drawn

CPU = torch.device("cpu")


class FramedImages(EncodedImages):
    """The clean images of a split as a network is shown them: `images[rows]` is uint8 (B, C, S, S).

    They are view 0, as `Pictures` renders it. images: as they are stored. rendering: of the network.
    """

    def __init__(self, images: EncodedImages, rendering: Rendering) -> None:
        super().__init__(
            images._shards, images._places, images.shape[1], rendering.size, images._threads, images._background
        )
        self._rendering = rendering

    def _decode(self, row: int, size: int | None) -> np.ndarray:
        picture_CHW = super()._decode(row, None)
        if size is None:
            return picture_CHW
        height_1, width_1 = (torch.tensor([edge]) for edge in picture_CHW.shape[1:])
        box = framed(height_1, width_1, self._rendering.framing, self._rendering.margin)
        return cut(picture_CHW, [int(each) for each in box], size)


def clean(images: np.ndarray | EncodedImages, rendering: Rendering | None) -> np.ndarray | EncodedImages:
    """The clean images of a split as a network is shown them; those that are stored as pixels are as they are.

    rendering: that of the network, None for one that is shown stored pixels.
    """
    return FramedImages(images, rendering) if isinstance(images, EncodedImages) and rendering else images


class Pictures:
    """The views of a split whose images are stored encoded, for one device.

    Args:
        images: As they are stored.
        renderings: At which sizes and framings, one for all networks that are shown images in the same way.
        device: Where views are wanted.
        budget: Bytes; pictures that fit are decoded once and kept.
    """

    def __init__(
        self, images: EncodedImages, renderings: Sequence[Rendering], device: torch.device, budget: int
    ) -> None:
        self._images = images
        self._renderings = renderings
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
        return self._channels * sum(each.size**2 for each in self._renderings)

    def cut(self, drawn: Drawn, rows_B: np.ndarray) -> list[np.ndarray]:
        """What the host has to do for a view of some rows: its crops, in each way; uint8 (B, C, S, S).

        drawn: of the whole split, on the CPU. A picture is decoded once for all ways. A thread may do it.
        """
        of_rows = drawn.of(torch.from_numpy(rows_B), CPU)
        shapes_2B = self._shapes_2N[:, torch.from_numpy(rows_B)]
        boxes_RB4 = [
            torch.stack(crops(of_rows, shapes_2B, each.framing, each.margin), dim=1).tolist()
            for each in self._renderings
        ]
        cut_R = [np.empty((len(rows_B), self._channels, each.size, each.size), np.uint8) for each in self._renderings]

        def cut_one(at: int) -> None:
            picture_CHW = self._picture(int(rows_B[at]))
            for crop_BCSS, boxes_B4, each in zip(cut_R, boxes_RB4, self._renderings, strict=True):
                crop_BCSS[at] = cut(picture_CHW, boxes_B4[at], each.size)

        self._images.in_threads(cut_one, len(rows_B))
        return cut_R

    def render(self, cut_R: Sequence[np.ndarray], here: Drawn, rows: Rows) -> list[Tensor]:
        """The view of some rows, not mixed, in each way, of what `cut` gave for them; on the device.

        Each is uint8 (B, C, S, S). here: of the whole split, on the device.
        """
        changes = here.of(rows.device_B, self._device)
        return [changed(send(torch.from_numpy(each), self._device), changes) for each in cut_R]

    def _picture(self, row: int) -> np.ndarray:
        if self._kept is None:
            return self._images.picture(row)
        if row not in self._kept:
            self._kept[row] = self._images.picture(row)
        return self._kept[row]
