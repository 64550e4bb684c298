"""Views: which crop and flip of each sample a network sees, as a function of (seed, stream, v, sample).

Labeller and student draw the same view from the same seed; nothing else is stored. View 0 is the clean image.

Legend: N samples of a split, B batch, C channels, H = W edge in pixels, P = H * W.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.base.errors import UserError
from pipeline.data.generator import generator
from pipeline.data.rows import send

if TYPE_CHECKING:
    # The type only: a changed default is in the spec, not in the code that obeys it.
    from pipeline.config.views import Views

SCHEME = 1  # how numbers become views: raise it with any change that would give an old label another crop


@dataclass(frozen=True, eq=False)
class Zoom:
    """Resized crops: edge of each as a share, and its centre where the image spans -1 .. 1; float32 (N,)."""

    edge_N: Tensor
    y_N: Tensor
    x_N: Tensor


@dataclass(frozen=True, eq=False)
class Drawn:
    """One view of every sample.

    dy_N, dx_N: int64 0 .. 2*shift, where the crop starts in the image padded by `shift`. flip_N: bool,
    mirror left to right. zoom: the resized crop taken of the result, None where there is none.
    """

    shift: int
    dy_N: Tensor
    dx_N: Tensor
    flip_N: Tensor
    zoom: Zoom | None

    def to(self, device: torch.device) -> Drawn:
        """Return the same view with its tensors on `device`: once a view rather than once a batch."""
        dy_N, dx_N, flip_N = (send(t_N, device) for t_N in (self.dy_N, self.dx_N, self.flip_N))
        zoom = self.zoom and Zoom(*(send(t_N, device) for t_N in (self.zoom.edge_N, self.zoom.y_N, self.zoom.x_N)))
        return Drawn(self.shift, dy_N, dx_N, flip_N, zoom)


def draw(views: Views, seed: int, stream: str, v: int, count: int, size: int) -> Drawn:
    """Draw view `v` of all `count` samples, on the CPU.

    A sample's draw depends on (seed, stream, v) and its row alone, and each setting has its own numbers:
    switching the flip on moves no crop. size: edge of the images in pixels; a shift that could leave a wholly
    black crop raises `UserError`. Area share of a resized crop is uniform in [scale, 1], its place uniform.
    """
    if views.shift >= size:
        raise UserError(
            f"views.shift is {views.shift} pixels and the images are {size} wide: set it below {size} in params.yaml"
        )
    if v == 0:
        still_N = torch.full((count,), views.shift)
        return Drawn(views.shift, still_N, still_N, torch.zeros(count, dtype=torch.bool), None)
    u_6N = torch.from_numpy(generator(seed, stream, v).random((count, 6))).T
    dy_N, dx_N = (u_6N[:2] * (2 * views.shift + 1)).long()
    flip_N = (u_6N[2] < 0.5) & views.flip
    if views.scale == 1:
        return Drawn(views.shift, dy_N, dx_N, flip_N, None)
    edge_N = (views.scale + (1 - views.scale) * u_6N[3]).sqrt()
    y_N, x_N = (2 * u_6N[4:] - 1) * (1 - edge_N)
    return Drawn(views.shift, dy_N, dx_N, flip_N, Zoom(edge_N.float(), y_N.float(), x_N.float()))


def augment(images_BCHW: Tensor, drawn: Drawn, rows_B: Tensor, mean_C: Tensor, std_C: Tensor) -> Tensor:
    """Crop, flip and normalise a batch on its device; float32 (B, C, H, W).

    images_BCHW: uint8, the images of rows_B. drawn: of the whole split, where rows_B can index it.
    Crops reach into black padding (zero before normalisation). Pixels are exact unless crops are resized
    (bilinear, edges repeated). The inputs are not changed.
    """
    device = images_BCHW.device
    dy_B, dx_B, flip_B = (t_N[rows_B].to(device) for t_N in (drawn.dy_N, drawn.dx_N, drawn.flip_N))
    crop_BCHW = _shifted(images_BCHW, drawn.shift, dy_B, dx_B, flip_B)
    if drawn.zoom is not None:
        zoom = drawn.zoom
        edge_B, y_B, x_B = (t_N[rows_B].to(device) for t_N in (zoom.edge_N, zoom.y_N, zoom.x_N))
        crop_BCHW = _resized(crop_BCHW, edge_B, y_B, x_B)
    return normalise(crop_BCHW, mean_C, std_C)


def normalise(images_BCHW: Tensor, mean_C: Tensor, std_C: Tensor) -> Tensor:
    """Return `(x / 255 - mean) / std` as float32: of uint8 images, exactly what `augment` makes of view 0."""
    return (images_BCHW.float() / 255 - mean_C[:, None, None]) / std_C[:, None, None]


def view_of(epoch: int, distinct: int | None, before: int = 0) -> int:
    """The view of epoch `epoch`, from 0: never the clean one, and after `distinct` of them the first comes again.

    before: views of the stream that the weights were trained on already.
    """
    seen = before + epoch
    return 1 + (seen if distinct is None else seen % distinct)


def describe(views: Views, seed: int, stream: str, count: int) -> dict[str, Any]:
    """Return everything that decides the views of `count` samples, in JSON types, to bind labels to."""
    return {"scheme": SCHEME, "seed": seed, "stream": stream, "count": count, **views.model_dump(mode="json")}


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
