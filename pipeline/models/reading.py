"""How the output of a layer is read: as a map (B, C, H, W), wherever its network keeps the positions.

Networks differ: convolutions give (B, C, H, W), Swin (B, H, W, C), vision transformers tokens (B, N, C), some of which
(class, distillation, register tokens) stand for no place. What is possible follows from the shape; where more than one
reading is, or tokens might lie in another order than that of the image, `likeliest` tries them.

Legend: B batch, C channels, H = W edge of the map, N tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any, Literal

import torch
from torch import Tensor

# Class, distillation and register tokens: no network known to us has more.
MOST_EXTRA = 16
# Quarters of the image, as halves of its rows and of its columns: these two tell rows from columns.
QUARTERS = ((0, 1), (1, 0))
# The largest change over the mean one, 1 .. 4: below it a change is spread too evenly to say where it is.
CLEAR = 2.0
# Tokens in the image's order have a share near 1, in another order near 0, whatever the weights.
LEAST = 0.3


@dataclass(frozen=True)
class Reading:
    """What axes mean. Of tokens, `front` first and `back` last ones stand for no place, and are left out.

    item: which one it is of a layer that gives several tensors, as a tuple or a list; None where it gives one.
    """

    layout: Literal["channels first", "channels last", "tokens"] = "channels first"
    front: int = 0
    back: int = 0
    item: int | None = None

    def __call__(self, output: Any) -> Tensor:
        """A layer's output to a map (B, C, H, W), a view of it where that is possible."""
        x: Tensor = output if self.item is None else output[self.item]
        if self.layout == "channels first":
            return x
        if self.layout == "channels last":
            return x.permute(0, 3, 1, 2)
        places_BNC = x[:, self.front : x.shape[1] - self.back]
        edge = isqrt(places_BNC.shape[1])
        return places_BNC.transpose(1, 2).unflatten(2, (edge, edge))

    def edge(self, shape: torch.Size) -> int:
        """H = W of the map that an output of this shape, batch and all, becomes."""
        if self.layout == "tokens":
            return isqrt(shape[1] - self.front - self.back)
        return shape[3] if self.layout == "channels first" else shape[1]


def readings(shape: torch.Size, extra: int | None = None) -> tuple[Reading, ...]:
    """Those that an output of this shape, batch and all, allows for square images, likeliest first; none where no map.

    extra: tokens without a place, where the network says how many it has.
    """
    if len(shape) == 4:
        found = []
        if shape[2] == shape[3]:
            found.append(Reading())
        if shape[1] == shape[2] != 1:
            found.append(Reading("channels last"))
        return tuple(found)
    if len(shape) != 3:
        return ()
    counts = [0, shape[1] - isqrt(shape[1]) ** 2] if extra is None else [extra, 0]
    for count in counts:
        places = shape[1] - count
        if 0 < places == isqrt(places) ** 2 and count <= MOST_EXTRA:
            return (Reading("tokens", front=count), *([Reading("tokens", back=count)] if count else []))
    return ()


def likeliest(x: Tensor, able: Sequence[Reading]) -> Reading | None:
    """The reading of a layer by which its map has the positions of the image; None where it has them by none.

    x: its output for an image, then for as many as `QUARTERS`, in each of which that quarter alone is another.
    able: of `readings`, likeliest first. It is the first where its axes leave no choice, and where nothing can be told:
    of a map of one pixel, or of one that changed everywhere alike.
    """
    if len(able) == 1 and able[0].layout != "tokens":
        return able[0]
    shares = [_share(reading(x)) for reading in able]
    known = [share for share in shares if share is not None]
    if len(known) < len(shares):
        return able[0]
    best = max(known)
    return able[known.index(best)] if best > LEAST else None


def _share(maps: Tensor) -> float | None:
    """How much of the change of a map lies in the quarter where the image changed: 1 all, 0 as much as by chance.

    maps: (1 + quarters, C, H, W). None where nothing can be told: the map is too small, or changed everywhere alike.
    """
    shares: list[float] = []
    for after_CHW, (row, column) in zip(maps[1:], QUARTERS, strict=True):
        change_HW = (after_CHW - maps[0]).double().square().sum(0).sqrt()
        edge, mean = len(change_HW), float(change_HW.mean())
        half = edge // 2
        if half == 0 or not mean > 0:
            return None
        most = float(change_HW.flatten().sort(descending=True).values[: half * half].mean())
        if not most > CLEAR * mean:
            return None
        there = float(change_HW[_half(row, edge, half), _half(column, edge, half)].mean())
        shares.append((there - mean) / (most - mean))
    return sum(shares) / len(shares)


def _half(which: int, edge: int, half: int) -> slice:
    return slice(edge - half, edge) if which else slice(0, half)
