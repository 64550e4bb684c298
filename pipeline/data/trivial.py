"""TrivialAugment's operations, in the wide space (Müller and Hutter 2021), as torchvision applies them to pictures.

They change a view after it was cut and resized. One deviation: a translation is up to 1/7 of the edge, which is
torchvision's 32 pixels at 224, so that networks of different sizes see the same view.

Legend: B batch, C channels, S edge, P = S * S, L levels.
"""

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from pipeline.data import colour
from pipeline.data.drawn import Trivial
from pipeline.data.rows import groups

GEOMETRY = ("shear x", "shear y", "translate x", "translate y", "rotate")
ENHANCED = {  # by 1 + up to 0.99
    "brightness": colour.brightness,
    "saturation": colour.saturation,
    "contrast": colour.contrast,
    "sharpness": colour.sharpness,
}
SIGNED = {*GEOMETRY, *ENHANCED}
IDENTITY = 0
OPERATIONS = ("identity", *GEOMETRY, *ENHANCED, "posterize", "solarize", "autocontrast", "equalize")
LEVELS = 31
TOP = LEVELS - 1
SIGNED_LEVELS = range(-TOP, LEVELS)
FIXED = 1 << 16  # of the coefficients of a map, as Pillow has them


def apply(images_BCSS: Tensor, drawn: Trivial) -> Tensor:
    """Apply to each image its operation; uint8, as the result. `drawn`: of these images."""
    result = images_BCSS.clone()
    for number, rows in groups(drawn.operation_N, images_BCSS.device):
        if number != IDENTITY:
            result[rows] = _changed(OPERATIONS[number], images_BCSS[rows], drawn.level_N[rows])
    return result


def _changed(name: str, images_BCSS: Tensor, level_B: Tensor) -> Tensor:
    if name in GEOMETRY:
        maps_L6 = _maps(name, images_BCSS.shape[-1], images_BCSS.device)
        return _moved(images_BCSS, maps_L6[level_B + TOP])
    match name:
        case "posterize":
            return colour.posterize(images_BCSS, _at(level_B, bits))
        case "solarize":
            return colour.solarize(images_BCSS, _at(level_B, threshold))
        case "autocontrast":
            return colour.autocontrast(images_BCSS)
        case "equalize":
            return colour.equalize(images_BCSS)
        case _:
            return ENHANCED[name](images_BCSS, _at(level_B, factor).float())


def factor(level: int) -> float:
    """By how much one of `ENHANCED` changes an image."""
    return 1 + level * 0.99 / TOP


def bits(level: int) -> int:
    """How many are kept of each value."""
    return 8 - round(level * 6 / TOP)


def threshold(level: int) -> float:
    """The value from which all are inverted."""
    return 255 - level * 255 / TOP


def _at(level_B: Tensor, of: Callable[[int], float]) -> Tensor:
    """What is of each level; from a table, so that it is the same number on each device."""
    return _table(of, level_B.device)[level_B + TOP]


@cache  # to copy it to a device at each step would wait for all that the device has still to do
def _table(of: Callable[[int], float], device: torch.device) -> Tensor:
    table = [of(level) for level in SIGNED_LEVELS]
    dtype = torch.float64 if isinstance(table[0], float) else torch.int64
    return torch.tensor(table, dtype=dtype, device=device)


@cache
def _maps(name: str, size: int, device: torch.device) -> Tensor:
    """Of each level -30 .. 30: where in the image a pixel comes from, as six fixed-point numbers; int64 (L, 6)."""
    return torch.tensor([_fixed(matrix(name, level / TOP, size)) for level in SIGNED_LEVELS], device=device)


def matrix(name: str, strength: float, size: int) -> tuple[float, ...]:
    """Where a pixel comes from: x = a * to_x + b * to_y + c and y = d * to_x + e * to_y + f, as (a, b, c, d, e, f)."""
    moved = float(int(strength * size / 7))
    match name:
        case "shear x":
            return 1, 0.99 * strength, 0, 0, 1, 0
        case "shear y":
            return 1, 0, 0, 0.99 * strength, 1, 0
        case "translate x":
            return 1, 0, -moved, 0, 1, 0
        case "translate y":
            return 1, 0, 0, 0, 1, -moved
    angle = -math.radians(135 * strength % 360)
    cos, sin, middle = round(math.cos(angle), 15), round(math.sin(angle), 15), size / 2
    return cos, sin, middle - cos * middle - sin * middle, -sin, cos, middle + sin * middle - cos * middle


def _fixed(numbers: tuple[float, ...]) -> list[int]:
    a, b, c, d, e, f = numbers
    # The middle of a pixel is half a pixel from its corner.
    whole = (a, b, c + a * 0.5 + b * 0.5, d, e, f + d * 0.5 + e * 0.5)
    return [math.floor(each * FIXED + 0.5) for each in whole]


def _moved(images_BCSS: Tensor, maps_B6: Tensor) -> Tensor:
    """Take each pixel from where it comes, the nearest; black where that is outside."""
    size = images_BCSS.shape[-1]
    at_S = torch.arange(size, device=images_BCSS.device)
    a, b, c, d, e, f = maps_B6[:, :, None, None].unbind(dim=1)
    x_BSS = (a * at_S + b * at_S[:, None] + c) >> 16
    y_BSS = (d * at_S + e * at_S[:, None] + f) >> 16
    inside_BSS = (x_BSS >= 0) & (x_BSS < size) & (y_BSS >= 0) & (y_BSS < size)
    at_BP = torch.where(inside_BSS, y_BSS * size + x_BSS, 0).flatten(1)
    found_BCP = images_BCSS.flatten(2).gather(2, at_BP[:, None].expand(-1, images_BCSS.shape[1], -1))
    return found_BCP.view(images_BCSS.shape).masked_fill(~inside_BSS[:, None], 0)
