"""Images that are stored encoded, cut from the stored pictures at the size and framing of each network.

Legend: N images of a split, B batch, C channels, H, W edges of a stored picture, S edge of a view, R renderings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pipeline.base import memory
from pipeline.data.cutters import Cutters
from pipeline.data.encoded import EncodedImages
from pipeline.data.framing import cut, pixels
from pipeline.data.render import changed, crops, erased, framed
from pipeline.data.retouch import retouched
from pipeline.data.rows import Rows, send

if TYPE_CHECKING:
    from PIL import Image

    from pipeline.config.input import Rendering
    from pipeline.data.drawn import Drawn

CPU = torch.device("cpu")
SHARE = 4  # of the free memory one part: trainings beside each other ask for it before any of them has taken it
BYTES = {1: 1, 3: 4}  # of a pixel as Pillow has it, by channels


class FramedImages(EncodedImages):
    """The clean images of a split as a network is shown them: `images[rows]` is uint8 (B, C, S, S).

    They are view 0, as `Pictures` renders it. images: as they are stored. rendering: of the network.
    """

    def __init__(self, images: EncodedImages, rendering: Rendering) -> None:
        super().__init__(
            images._shards, images._places, images.shape[1], rendering.size, images.threads, images.background
        )
        self._rendering = rendering

    def _decode(self, row: int, size: int | None) -> np.ndarray:
        if size is None:
            return super()._decode(row, None)

        def square(picture: Image.Image) -> np.ndarray:
            width_1, height_1 = (torch.tensor([edge]) for edge in picture.size)
            box = framed(height_1, width_1, self._rendering.framing, self._rendering.margin)
            return pixels(cut(picture, [int(each) for each in box], size), None)

        return self.shown(row, square)


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
        budget: Bytes; pictures that fit, and into a quarter of the free memory, are decoded once and kept.
    """

    def __init__(
        self, images: EncodedImages, renderings: Sequence[Rendering], device: torch.device, budget: int
    ) -> None:
        self._images = images
        self._renderings = renderings
        self._device = device
        self._shapes_2N = torch.from_numpy(np.ascontiguousarray(images.sizes[:, ::-1].T))  # height and width
        self._channels = images.shape[1]
        whole = BYTES[self._channels] * int(self._shapes_2N.prod(dim=0).sum())
        keep = whole <= min(budget, memory.free() // SHARE)
        self._kept: dict[int, Image.Image] | None = {} if keep else None
        self._on_cpu = device.type == "cpu"
        self._cutters = None if self._on_cpu else Cutters(images, [each.size for each in renderings], keep)

    def __len__(self) -> int:
        return len(self._images)

    @property
    def values(self) -> int:
        """Numbers in one view, at all sizes."""
        return self._channels * sum(each.size**2 for each in self._renderings)

    def cut(self, drawn: Drawn, rows_B: np.ndarray) -> list[np.ndarray]:
        """What the host has to do for a view of some rows: its crops, in each way; uint8 (B, C, S, S).

        drawn: of the whole split, on the CPU. A picture is decoded once for all ways. A thread may do it. What no
        device is there for is done to them, too, picture by picture. Beside a GPU it is work of other processes.
        """
        of_rows = drawn.of(torch.from_numpy(rows_B), CPU)
        shapes_2B = self._shapes_2N[:, torch.from_numpy(rows_B)]
        boxes_RB4 = torch.stack(
            [torch.stack(crops(of_rows, shapes_2B, each.framing, each.margin), dim=1) for each in self._renderings]
        )
        if self._cutters:
            return self._cutters.cut(rows_B, boxes_RB4.numpy())
        cut_R = [np.empty((len(rows_B), self._channels, each.size, each.size), np.uint8) for each in self._renderings]

        def crop(at: int, picture: Image.Image) -> None:
            for crop_BCSS, box, each in zip(cut_R, boxes_RB4[:, at].tolist(), self._renderings, strict=True):
                crop_BCSS[at] = pixels(retouched(cut(picture, box, each.size), of_rows, at), None)

        self._images.in_threads(lambda at: self._shown(int(rows_B[at]), partial(crop, at)), len(rows_B))
        return cut_R

    def render(self, cut_R: Sequence[np.ndarray], here: Drawn, rows: Rows) -> list[Tensor]:
        """The view of some rows, not mixed, in each way, of what `cut` gave for them; on the device.

        Each is uint8 (B, C, S, S). here: of the whole split, on the device.
        """
        changes = here.of(rows, self._device)
        rest = erased if self._on_cpu else changed
        return [rest(send(torch.from_numpy(each), self._device), changes) for each in cut_R]

    def _shown(self, row: int, use: Callable[[Image.Image], None]) -> None:
        if self._kept is None:
            self._images.shown(row, use)
            return
        if row not in self._kept:
            self._kept[row] = self._images.shown(row, lambda picture: picture.copy())
        use(self._kept[row])
