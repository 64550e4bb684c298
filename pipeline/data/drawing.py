"""How each operation of a view is drawn: by a generator of its own, so that none moves another's numbers.

Legend: N samples of a split, K operations of colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pipeline.data.drawn import Boxes, Jitter, Mixture, Trivial
from pipeline.data.generator import generator
from pipeline.data.trivial import LEVELS, OPERATIONS, SIGNED

if TYPE_CHECKING:
    from pipeline.config.views import Views

TRIES = 10  # torchvision's: of an area and a ratio that do not fit an image, so many are drawn
ERASED_AREA = (0.02, 0.33)  # shares of the view, and height : width: Zhong et al. 2017, as torchvision has them
ERASED_RATIO = (0.3, 3.3)

# The generator of one operation of one view.
Draw = Callable[..., np.random.Generator]


def of_view(seed: int, stream: str, v: int) -> Draw:
    """The generators of a view: one for each operation, by its name and what else tells it apart."""
    return lambda *name: generator(seed, stream, v, *name)


def boxes(draw: Draw, views: Views, area_N: np.ndarray, place_2N: np.ndarray, aspect_N: np.ndarray) -> Boxes:
    """Crops by area and ratio, in stored images of that aspect (width : height).

    The law is that of torchvision's `RandomResizedCrop`: area uniform in [scale, 1], ratio uniform in its logarithm,
    drawn again up to ten times where the crop does not fit, else the largest crop in the middle whose ratio is
    allowed. area_N: uniform numbers of the first try.
    """
    count = len(area_N)
    ratio = (1 / views.ratio, views.ratio)

    def uniform(k: int) -> tuple[np.ndarray, np.ndarray]:
        if k == 0:
            return area_N, draw("ratio").random(count)
        u_2N = draw("crop", k).random((count, 2)).T
        return u_2N[0], u_2N[1]

    h_N, w_N = _fitting(uniform, (views.scale, 1.0), ratio, aspect_N)
    none_N = h_N == 0
    y_N, x_N = place_2N[0] * (1 - h_N), place_2N[1] * (1 - w_N)
    if none_N.any():
        h_N[none_N] = np.minimum(1, aspect_N / ratio[0])[none_N]
        w_N[none_N] = np.minimum(1, ratio[1] / aspect_N)[none_N]
        y_N[none_N], x_N[none_N] = (1 - h_N[none_N]) / 2, (1 - w_N[none_N]) / 2
    return _boxes(y_N, x_N, h_N, w_N)


def jitter(draw: Draw, views: Views, count: int) -> Jitter | None:
    """Factors uniform in 1 ± strength, a turn of hue uniform in ± its share, and the order of the four."""
    if not any((views.brightness, views.contrast, views.saturation, views.hue)):
        return None

    def factor(name: str, strength: float) -> Tensor | None:
        if not strength:
            return None
        return torch.from_numpy(1 + strength * (2 * draw(name).random(count) - 1)).float()

    turn_N = views.hue * (2 * draw("hue").random(count) - 1) if views.hue else None
    return Jitter(
        factor("brightness", views.brightness),
        factor("contrast", views.contrast),
        factor("saturation", views.saturation),
        None if turn_N is None else torch.from_numpy(turn_N),
        torch.from_numpy(draw("order of colours").random((count, 4)).argsort(axis=1).astype(np.uint8)),
    )


def trivial(draw: Draw, views: Views, count: int) -> Trivial | None:
    """One of the operations at one of 31 levels, of either sign where it has one (Müller and Hutter 2021, wide)."""
    if not views.trivial_augment:
        return None
    u_3N = torch.from_numpy(draw("trivial").random((count, 3))).T
    operation_N = (u_3N[0] * len(OPERATIONS)).long()
    level_N = (u_3N[1] * LEVELS).long()
    negative_N = (u_3N[2] < 0.5) & torch.tensor([name in SIGNED for name in OPERATIONS])[operation_N]
    return Trivial(operation_N, torch.where(negative_N, -level_N, level_N))


def erased(draw: Draw, views: Views, count: int) -> Boxes | None:
    """A box of the view with the given probability."""
    if not views.erasing:
        return None
    u_3N = draw("erasing").random((count, 3)).T

    def uniform(k: int) -> tuple[np.ndarray, np.ndarray]:
        u_2N = draw("erased box", k).random((count, 2)).T
        return u_2N[0], u_2N[1]

    wide = (1 / ERASED_RATIO[1], 1 / ERASED_RATIO[0])
    h_N, w_N = _fitting(uniform, ERASED_AREA, wide, np.ones(count))
    h_N[u_3N[0] >= views.erasing] = 0
    return _boxes(u_3N[1] * (1 - h_N), u_3N[2] * (1 - w_N), h_N, w_N)


def mixed(draw: Draw, views: Views, count: int) -> Mixture | None:
    """Partner and share of each row: mixup (Zhang et al. 2018), CutMix (Yun et al. 2019), or one of them by a coin.

    A partner is any row of the split, whatever the batch. A share is that of the box as drawn, cut at the border of
    the view; a rendered box has whole pixels, so that its share of a view of S pixels differs by up to 1 / S.
    """
    if not views.mixes:
        return None
    partner_N = torch.from_numpy((draw("partner").random(count) * count).astype(np.int64))
    if not views.cutmix:
        return Mixture(partner_N, torch.from_numpy(_beta(draw, "mixup", views.mixup, count)).float(), None)
    edge_N = np.sqrt(1 - _beta(draw, "cutmix", views.cutmix, count))
    y_N, x_N = draw("place of cutmix").random((count, 2)).T
    y_N, h_N = _within(y_N, edge_N)
    x_N, w_N = _within(x_N, edge_N)
    share_N = 1 - h_N * w_N
    if views.mixup:
        by_mixup_N = draw("mixup or cutmix").random(count) < 0.5
        share_N = np.where(by_mixup_N, _beta(draw, "mixup", views.mixup, count), share_N)
        h_N = np.where(by_mixup_N, 0, h_N)
    return Mixture(partner_N, torch.from_numpy(share_N).float(), _boxes(y_N, x_N, h_N, w_N))


def _fitting(
    uniform: Callable[[int], tuple[np.ndarray, np.ndarray]],
    area: tuple[float, float],
    ratio: tuple[float, float],
    aspect_N: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Height and width, as shares of an image, of the first try that fits it; 0 where none does.

    uniform: of a try, numbers for area and ratio. ratio: width : height in pixels.
    """
    h_N, w_N = np.zeros_like(aspect_N), np.zeros_like(aspect_N)
    low, high = map(math.log, ratio)
    left = np.arange(len(aspect_N))
    for k in range(TRIES):
        area_N, ratio_N = uniform(k)
        share = area[0] + (area[1] - area[0]) * area_N[left]
        wide = np.exp(low + (high - low) * ratio_N[left]) / aspect_N[left]
        h, w = np.sqrt(share / wide), np.sqrt(share * wide)
        fits = (h <= 1) & (w <= 1)
        h_N[left[fits]], w_N[left[fits]] = h[fits], w[fits]
        left = left[~fits]
        if not len(left):
            break
    return h_N, w_N


def _within(centre_N: np.ndarray, edge_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start and length of what lies within 0 .. 1 of an edge around a centre."""
    start_N = (centre_N - edge_N / 2).clip(0, 1)
    return start_N, (centre_N + edge_N / 2).clip(0, 1) - start_N


def _beta(draw: Draw, name: str, alpha: float, count: int) -> np.ndarray:
    return draw(name).beta(alpha, alpha, count)


def _boxes(*sides_N: np.ndarray) -> Boxes:
    return Boxes(*map(torch.from_numpy, sides_N))
