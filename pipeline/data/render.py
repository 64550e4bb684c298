"""Views as pixels: what was drawn, rendered from stored images of any shape at the size of whoever looks.

A crop is a box relative to the stored image, and whole pixels of it once it is rendered, whatever the size: a teacher
at 224 and a student at 160 see the very same crop. All is cut, resized and recoloured in whole numbers with Pillow's
arithmetic, so that the bits hang on no device, no number of threads and no company in a batch. The order is: crop,
resize, flip, TrivialAugment, colour jitter, erasing, mixing. Pillow itself changes single pictures (`data.retouch`).

Legend: N samples of a split, B batch, C channels, H, W edges of a stored image, S edge of the view.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pipeline.data import colour, trivial
from pipeline.data.drawn import Boxes, Drawn, Jitter, Mixture
from pipeline.data.framing import cut, pixels
from pipeline.data.resample import over, resampled
from pipeline.data.rows import Rows, groups

if TYPE_CHECKING:
    from pipeline.config.input import Framing

# uint8: a batch (B, C, H, W) on any device, or images (C, H, W) of any shapes in memory.
StoredImages = Tensor | Sequence[np.ndarray]


def render(
    images: StoredImages, drawn: Drawn, rows: Rows | Tensor, size: int, framing: Framing = "crop", margin: float = 0.0
) -> Tensor:
    """Render a view of a batch, not mixed; uint8 (B, C, S, S), on the device of a batch, else on the CPU.

    images: those of `rows`. drawn: of the whole split, indexed as of `Drawn.of`. framing, margin: how an image that is
    not cropped by area becomes square, as of `config.input.Input`.
    """
    if isinstance(images, Tensor):
        here = drawn.of(rows, images.device)
        shapes_2B = torch.stack([torch.full_like(here.dy_N, edge) for edge in images.shape[2:]])
        return changed(resampled(images, crops(here, shapes_2B, framing, margin), size), here)
    from PIL import Image

    here = drawn.of(rows, torch.device("cpu"))
    shapes_2B = torch.tensor([image_CHW.shape[1:] for image_CHW in images]).reshape(-1, 2).T
    boxes_B4 = torch.stack(crops(here, shapes_2B, framing, margin), dim=1).tolist()
    channels = len(images[0]) if len(images) else 0
    crop_BCSS = np.empty((len(images), channels, size, size), np.uint8)
    for crop_CSS, image_CHW, box in zip(crop_BCSS, images, boxes_B4, strict=True):
        picture = Image.fromarray(image_CHW[0] if channels == 1 else image_CHW.transpose(1, 2, 0))
        crop_CSS[:] = pixels(cut(picture, box, size), None)
    return changed(torch.from_numpy(crop_BCSS), here)


def mix(own_BCSS: Tensor, partner_BCSS: Tensor, mixed: Mixture) -> Tensor:
    """Mix two rendered views of each row; `mixed`: of these rows. float32, not rounded to whole levels."""
    share = mixed.share_N[:, None, None, None]
    if mixed.box is not None:
        is_mixup = (mixed.box.h_N == 0)[:, None, None, None]
        inside = _inside(mixed.box, own_BCSS.shape[-1])
        share = torch.where(is_mixup, share, (~inside).float())
    return share * own_BCSS.float() + (1 - share) * partner_BCSS.float()


def changed(crop_BCSS: Tensor, drawn: Drawn) -> Tensor:
    """All that is done to crops uint8, in order, up to mixing; `drawn`: of these rows, on their device."""
    view_BCSS = torch.where(drawn.flip_N[:, None, None, None], crop_BCSS.flip(-1), crop_BCSS)
    if drawn.trivial is not None:
        view_BCSS = trivial.apply(view_BCSS, drawn.trivial)
    if drawn.jitter is not None:
        view_BCSS = _jittered(view_BCSS, drawn.jitter)
    return erased(view_BCSS, drawn)


def erased(view_BCSS: Tensor, drawn: Drawn) -> Tensor:
    """The last of what `changed` does."""
    if drawn.erased is None:
        return view_BCSS
    return view_BCSS.masked_fill(_inside(drawn.erased, view_BCSS.shape[-1]), 0)


def crops(drawn: Drawn, shapes_2B: Tensor, framing: Framing, margin: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The crop of each image in whole pixels: upper, left, height, width; int64 (B,).

    drawn: of these rows. shapes_2B: height and width of each stored image.
    """
    height_B, width_B = shapes_2B
    boxes = _of_zoom(drawn) if drawn.boxes is None else drawn.boxes
    short_B = torch.minimum(height_B, width_B)
    if boxes is None:
        y_B, x_B, h_B, w_B = framed(height_B, width_B, framing, margin)
    else:
        y_B, h_B = _whole(boxes.y_N, boxes.h_N, height_B)
        x_B, w_B = _whole(boxes.x_N, boxes.w_N, width_B)
    # The shift is meant for images of one edge; others are shifted by as large a share.
    share_B = over(short_B.double(), drawn.edge) if drawn.edge else torch.ones_like(short_B).double()
    dy_B, dx_B = (((each - drawn.shift) * share_B).round().long() for each in (drawn.dy_N, drawn.dx_N))
    return y_B + dy_B, x_B + dx_B, h_B, w_B


def framed(height_B: Tensor, width_B: Tensor, framing: Framing, margin: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The box of an image that is not cropped by area, as of `crops`: where `data.framing` has its middle, too."""
    if framing == "squash":
        edges = (height_B, width_B)
    else:
        edges = (torch.minimum(height_B, width_B) if framing == "crop" else torch.maximum(height_B, width_B),) * 2
    h_B, w_B = ((each.double() * (1 - margin)).round().long().clamp(min=1) for each in edges)
    y_B, x_B = ((a - b).div(2, rounding_mode="floor") for a, b in ((height_B, h_B), (width_B, w_B)))
    return y_B, x_B, h_B, w_B


def _of_zoom(drawn: Drawn) -> Boxes | None:
    """Resized crops as boxes of the image before it is flipped: a zoom's place is that after it."""
    if drawn.zoom is None:
        return None
    edge_B = drawn.zoom.edge_N.double()
    x_B = torch.where(drawn.flip_N, -drawn.zoom.x_N, drawn.zoom.x_N).double()
    return Boxes((drawn.zoom.y_N.double() + 1 - edge_B) / 2, (x_B + 1 - edge_B) / 2, edge_B, edge_B)


def _whole(start_B: Tensor, length_B: Tensor, edge_B: Tensor) -> tuple[Tensor, Tensor]:
    """Start and length in whole pixels, one at least, within an edge of so many."""
    whole_B = (length_B * edge_B).round().long().clamp(min=1)
    return torch.minimum((start_B * edge_B).round().long(), edge_B - whole_B).clamp(min=0), whole_B


def _inside(boxes: Boxes, size: int) -> Tensor:
    """Which pixels of a view lie in its box; bool (B, 1, S, S), none where there is no box."""
    at_S = torch.arange(size, device=boxes.y_N.device)
    edge_B = torch.full_like(boxes.y_N, size).long()
    (y_B, h_B), (x_B, w_B) = _whole(boxes.y_N, boxes.h_N, edge_B), _whole(boxes.x_N, boxes.w_N, edge_B)
    rows_BS = (at_S >= y_B[:, None]) & (at_S < (y_B + h_B)[:, None]) & (boxes.h_N > 0)[:, None]
    columns_BS = (at_S >= x_B[:, None]) & (at_S < (x_B + w_B)[:, None])
    return (rows_BS[:, :, None] & columns_BS[:, None, :])[:, None]


def _jittered(images_BCSS: Tensor, jitter: Jitter) -> Tensor:
    """Apply the operations that are on, each row in its own order."""
    given = (
        (colour.brightness, jitter.brightness_N),
        (colour.contrast, jitter.contrast_N),
        (colour.saturation, jitter.saturation_N),
        (colour.hue, jitter.hue_N),
    )
    result = images_BCSS.clone()
    for order_B in jitter.order_NK.unbind(dim=1):
        for number, rows in groups(order_B, images_BCSS.device):
            change, by_B = given[number]
            if by_B is not None:
                result[rows] = change(result[rows], by_B[rows])
    return result
