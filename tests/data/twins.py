"""Slow twins of what `data.render` does to one image: Pillow and torchvision on a picture, operation by operation.

Legend: C channels, H, W edges, S edge of a view.
"""

import math
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from torchvision.transforms import functional

from pipeline.data.trivial import OPERATIONS

Picture = Image.Image
F: Any = functional  # takes pictures, and is typed for tensors


def picture(image_CHW: np.ndarray) -> Picture:
    return Image.fromarray(image_CHW[0] if len(image_CHW) == 1 else image_CHW.transpose(1, 2, 0).copy())


def pixels(of: Picture) -> np.ndarray:
    values = np.asarray(of)
    return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)


def cut(of: Picture, y: int, x: int, h: int, w: int, size: int) -> Picture:
    """Crop, black outside, and resize: along rows, then along columns."""
    crop = of.crop((x, y, x + w, y + h))
    return crop.resize((size, h), Image.Resampling.BILINEAR).resize((size, size), Image.Resampling.BILINEAR)


def trivial(of: Picture, name: str, level: int) -> Picture:
    """As torchvision's `TrivialAugmentWide` has them, but for the translation, a share of the edge."""
    assert name in OPERATIONS
    strength, size = level / 30, of.width
    moved = int(strength * size / 7)
    sheared = math.degrees(math.atan(0.99 * strength))
    match name:
        case "identity":
            return of
        case "shear x":
            return F.affine(of, 0.0, [0, 0], 1.0, [sheared, 0.0], center=[0, 0])
        case "shear y":
            return F.affine(of, 0.0, [0, 0], 1.0, [0.0, sheared], center=[0, 0])
        case "translate x":
            return F.affine(of, 0.0, [moved, 0], 1.0, [0.0, 0.0])
        case "translate y":
            return F.affine(of, 0.0, [0, moved], 1.0, [0.0, 0.0])
        case "rotate":
            return F.rotate(of, 135 * strength)
        case "posterize":
            return ImageOps.posterize(of, 8 - round(level / 5))
        case "solarize":
            return ImageOps.solarize(of, math.ceil(255 - 8.5 * level))
        case "autocontrast":
            return ImageOps.autocontrast(of)
        case "equalize":
            return ImageOps.equalize(of)
    return jittered(of, name, 1 + 0.99 * strength)


def jittered(of: Picture, name: str, by: float) -> Picture:
    if name == "hue":
        return F.adjust_hue(of, by)
    enhance = {
        "brightness": ImageEnhance.Brightness,
        "contrast": ImageEnhance.Contrast,
        "saturation": ImageEnhance.Color,
        "sharpness": ImageEnhance.Sharpness,
    }
    return enhance[name](of).enhance(by)
