"""Views: what of each sample a network sees, as a function of (seed, stream, v, sample).

Labeller and student draw the same view from the same seed; nothing else is stored. View 0 is the clean image.
Shift, flip and square crops of square images are cut here; all that is more, `data.render` does.

Legend: N samples of a split, B batch, C channels, H = W edge in pixels, P = H * W.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.base.errors import UserError
from pipeline.data import drawing
from pipeline.data.drawn import Drawn, Zoom
from pipeline.data.generator import generator
from pipeline.data.render import render
from pipeline.data.rows import Rows

if TYPE_CHECKING:
    # The type only: a changed default is in the spec, not in the code that obeys it.
    from pipeline.config.views import Views

SCHEME = 1  # how numbers become views: raise it with any change that would give an old label another crop


def draw(
    views: Views, seed: int, stream: str, v: int, count: int, size: int, aspect_N: np.ndarray | None = None
) -> Drawn:
    """Draw view `v` of all `count` samples, on the CPU.

    A sample's draw depends on (seed, stream, v) and its row alone, and each setting has its own numbers:
    switching the flip on moves no crop. size: short edge of the images in pixels, in which a shift is given; one that
    could leave a wholly black crop raises `UserError`. Area share of a resized crop is uniform in [scale, 1], its
    place uniform. aspect_N: width : height of each stored image, where they are not all square.
    """
    if views.shift >= size:
        raise UserError(
            f"views.shift is {views.shift} pixels and the images are {size} wide: set it below {size} in params.yaml"
        )
    if v == 0:
        still_N = torch.full((count,), views.shift)
        return Drawn(views.shift, still_N, still_N, torch.zeros(count, dtype=torch.bool), None, edge=size)
    by_row_N6 = generator(seed, stream, v).random((count, 6))
    u_6N = torch.from_numpy(by_row_N6).T
    dy_N, dx_N = (u_6N[:2] * (2 * views.shift + 1)).long()
    flip_N = (u_6N[2] < 0.5) & views.flip
    its = drawing.of_view(seed, stream, v)
    zoom = boxes = None
    if views.scale < 1 and views.ratio == 1 and aspect_N is None:
        edge_N = (views.scale + (1 - views.scale) * u_6N[3]).sqrt()
        y_N, x_N = (2 * u_6N[4:] - 1) * (1 - edge_N)
        zoom = Zoom(edge_N.float(), y_N.float(), x_N.float())
    elif views.scale < 1:
        aspect_N = np.ones(count) if aspect_N is None else aspect_N
        boxes = drawing.boxes(its, views, by_row_N6[:, 3], by_row_N6[:, 4:].T, aspect_N)
    return Drawn(
        views.shift,
        dy_N,
        dx_N,
        flip_N,
        zoom,
        boxes=boxes,
        jitter=drawing.jitter(its, views, count),
        trivial=drawing.trivial(its, views, count),
        erased=drawing.erased(its, views, count),
        mixed=drawing.mixed(its, views, count),
        edge=size,
    )


def augment(images_BCHW: Tensor, drawn: Drawn, rows: Rows | Tensor, mean_C: Tensor, std_C: Tensor) -> Tensor:
    """Render a view of square images at their own size and normalise it, on their device; float32 (B, C, H, W).

    images_BCHW: uint8, the images of `rows`. drawn: of the whole split, as of `Drawn.of`; of no mixed view,
    which needs its partners' pixels (`data.render`).
    Crops reach into black padding (zero before normalisation). Pixels are exact unless crops are resized: shifted,
    flipped and square ones bilinearly with repeated edges, in floats, all others as `render` does.
    The inputs are not changed.
    """
    if not drawn.is_plain:
        assert drawn.mixed is None, "a mixed view needs its partners' pixels"
        return normalise(render(images_BCHW, drawn, rows, images_BCHW.shape[-1]), mean_C, std_C)
    device = images_BCHW.device
    rows_B = rows if isinstance(rows, Tensor) else rows.device_B
    dy_B, dx_B, flip_B = (t_N[rows_B].to(device) for t_N in (drawn.dy_N, drawn.dx_N, drawn.flip_N))
    crop_BCHW = _shifted(images_BCHW, drawn.shift, dy_B, dx_B, flip_B)
    if drawn.zoom is not None:
        zoom = drawn.zoom
        edge_B, y_B, x_B = (t_N[rows_B].to(device) for t_N in (zoom.edge_N, zoom.y_N, zoom.x_N))
        crop_BCHW = _resized(crop_BCHW, edge_B, y_B, x_B)
    return normalise(crop_BCHW, mean_C, std_C)


def normalise(images_BCHW: Tensor, mean_C: Tensor, std_C: Tensor) -> Tensor:
    """Return `(x / 255 - mean) / std` as float32: of uint8 images, exactly what `augment` makes of view 0."""
    # In place: memory that is new for each operation takes as long as what is done.
    shown_BCHW = images_BCHW.to(torch.float32, copy=True).div_(255)
    return shown_BCHW.sub_(mean_C[:, None, None]).div_(std_C[:, None, None])


def view_of(epoch: int, distinct: int | None, before: int = 0) -> int:
    """The view of epoch `epoch`, from 0: never the clean one, and after `distinct` of them the first comes again.

    before: views of the stream that the weights were trained on already.
    """
    seen = before + epoch
    return 1 + (seen if distinct is None else seen % distinct)


def describe(
    views: Views, seed: int, stream: str, count: int, renderer: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return everything that decides the views of `count` samples, in JSON types, to bind labels to.

    renderer: what decodes and resizes images that are stored encoded; None where pixels are stored.
    """
    described = {"scheme": SCHEME, "seed": seed, "stream": stream, "count": count, **views.model_dump(mode="json")}
    return described if renderer is None else {**described, "renderer": {**renderer}}


def _shifted(images_BCHW: Tensor, shift: int, dy_B: Tensor, dx_B: Tensor, flip_B: Tensor) -> Tensor:
    """Crop the zero-padded image at (dy, dx), then mirror: one gather over flat pixel positions."""
    padded_BCHW = F.pad(images_BCHW, (shift, shift, shift, shift))
    _, channels, edge, _ = images_BCHW.shape
    at_H = torch.arange(edge, device=images_BCHW.device)
    y_BH = dy_B[:, None] + at_H
    x_BH = dx_B[:, None] + torch.where(flip_B[:, None], at_H.flip(0), at_H)
    at_BP = (y_BH[:, :, None] * padded_BCHW.shape[-1] + x_BH[:, None, :]).flatten(1)
    crop_BCP = padded_BCHW.flatten(2).gather(2, at_BP[:, None].expand(-1, channels, -1))
    return crop_BCP.view(images_BCHW.shape)


def _resized(images_BCHW: Tensor, edge_B: Tensor, y_B: Tensor, x_B: Tensor) -> Tensor:
    """Sample each crop at the full edge, bilinearly, in float32."""
    edge = images_BCHW.shape[-1]
    centre_H = (2 * torch.arange(edge, device=images_BCHW.device) + 1) / edge - 1
    y_BH, x_BH = (edge_B[:, None] * centre_H + at_B[:, None] for at_B in (y_B, x_B))
    grid_BHH2 = torch.stack(torch.broadcast_tensors(x_BH[:, None, :], y_BH[:, :, None]), dim=-1)
    return F.grid_sample(images_BCHW.float(), grid_BHH2, padding_mode="border", align_corners=False)
