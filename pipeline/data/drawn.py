"""What is drawn of one view: numbers a sample, and no pixels.

Legend: N samples of a split, M of them, B rows of a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.data.rows import Rows, send

# Of what decides which operation is done to which row: it stays on the CPU, so that no step asks the device for it.
ON_HOST = {"on host": True}


@dataclass(frozen=True, eq=False)
class Zoom:
    """Resized crops: edge of each as a share, and its centre where the image spans -1 .. 1; float32 (N,)."""

    edge_N: Tensor
    y_N: Tensor
    x_N: Tensor


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes in an image that spans 0 .. 1: upper left corner, height and width; float64 (N,). Height 0 is no box."""

    y_N: Tensor
    x_N: Tensor
    h_N: Tensor
    w_N: Tensor


@dataclass(frozen=True, eq=False)
class Jitter:
    """Colour jitter.

    brightness_N, contrast_N, saturation_N: factors, float32, 1 leaves an image as it is. hue_N: turns of the colour
    wheel, float64. None is an operation that is off. order_NK: which of the four comes at each place, uint8 (N, 4), on
    the CPU.
    """

    brightness_N: Tensor | None
    contrast_N: Tensor | None
    saturation_N: Tensor | None
    hue_N: Tensor | None
    order_NK: Tensor = field(metadata=ON_HOST)


@dataclass(frozen=True, eq=False)
class Trivial:
    """TrivialAugment: which operation of `data.trivial.OPERATIONS`, on the CPU, and its level -30 .. 30; int64 (N,)."""

    operation_N: Tensor = field(metadata=ON_HOST)
    level_N: Tensor


@dataclass(frozen=True, eq=False)
class Mixture:
    """Mixing with another row of the split.

    partner_N: its row, int64. share_N: what is left of the own image, and so of its label; float32.
    box: what CutMix takes from the partner; no box is mixup. None: there is no CutMix.
    """

    partner_N: Tensor
    share_N: Tensor
    box: Boxes | None


@dataclass(frozen=True, eq=False)
class Drawn:
    """One view of every sample.

    dy_N, dx_N: int64 0 .. 2*shift, where the crop starts in the image padded by `shift`. flip_N: bool,
    mirror left to right. zoom: the resized crop taken of the result, None where there is none.

    boxes: crops of stored images of any shape, in place of `zoom`. erased: boxes of the rendered view that become
    black. edge: short edge in pixels of the images that `shift` is meant for; 0, the images' own.
    """

    shift: int
    dy_N: Tensor
    dx_N: Tensor
    flip_N: Tensor
    zoom: Zoom | None
    boxes: Boxes | None = None
    jitter: Jitter | None = None
    trivial: Trivial | None = None
    erased: Boxes | None = None
    mixed: Mixture | None = None
    edge: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether it is shift, flip and zoom alone."""
        more = (self.boxes, self.jitter, self.trivial, self.erased, self.mixed)
        return all(each is None for each in more)

    def to(self, device: torch.device) -> Drawn:
        """Return the same view with its tensors on `device`: once a view rather than once a batch."""
        return _each(self, lambda t_N: send(t_N, device), lambda t_N: t_N)

    def mixed_among(self, rows_M: np.ndarray) -> Drawn:
        """The same view, on the CPU, where these rows, int64, are mixed with each other only.

        One that another row would be mixed into is left alone: its partner is itself, its share 1.
        """
        if self.mixed is None or len(rows_M) == len(self.dy_N):
            return self
        partner_N, own_N = self.mixed.partner_N, torch.arange(len(self.dy_N))
        stays_N = torch.isin(partner_N, torch.from_numpy(rows_M))
        share_N = torch.where(stays_N, self.mixed.share_N, torch.ones_like(self.mixed.share_N))
        return replace(self, mixed=Mixture(torch.where(stays_N, partner_N, own_N), share_N, self.mixed.box))

    def of(self, rows: Rows | Tensor, device: torch.device) -> Drawn:
        """What was drawn of these rows, on `device`. rows: where the tensors lie; int64, where that is the CPU."""
        host_B, own_B = (rows, rows) if isinstance(rows, Tensor) else (torch.from_numpy(rows.host_B), rows.device_B)
        return _each(self, lambda t_N: t_N[own_B].to(device), lambda t_N: t_N[host_B])


def _each(value: Any, change: Callable[[Tensor], Tensor], on_host: Callable[[Tensor], Tensor]) -> Any:
    """The same with every tensor changed; by `on_host` those that are the CPU's."""
    if isinstance(value, Tensor):
        return change(value)
    if is_dataclass(value):
        made = {
            each.name: _each(getattr(value, each.name), on_host if each.metadata == ON_HOST else change, on_host)
            for each in fields(value)
        }
        return type(value)(**made)
    return value
