"""What `data.render` does to the crops of a batch, done to one by Pillow itself, which is faster on a CPU.

The bits are the same: `data.colour` and `data.trivial` have Pillow's arithmetic, for batches on a device.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pipeline.data import trivial
from pipeline.data.drawn import Drawn, Jitter

if TYPE_CHECKING:
    from PIL import Image


def retouched(view: Image.Image, drawn: Drawn, row: int) -> Image.Image:
    """A crop, of mode L or RGB, with all that `data.render.changed` does to it up to erasing. drawn: on the CPU."""
    from PIL import Image

    if drawn.flip_N[row]:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if drawn.trivial is not None:
        name = trivial.OPERATIONS[int(drawn.trivial.operation_N[row])]
        view = _changed(view, name, int(drawn.trivial.level_N[row]))
    return view if drawn.jitter is None else _jittered(view, drawn.jitter, row)


def _changed(view: Image.Image, name: str, level: int) -> Image.Image:
    """One operation of TrivialAugment."""
    from PIL import Image, ImageOps

    match name:
        case "identity":
            return view
        case "posterize":
            return ImageOps.posterize(view, trivial.bits(level))
        case "solarize":
            return ImageOps.solarize(view, math.ceil(trivial.threshold(level)))
        case "autocontrast":
            return ImageOps.autocontrast(view)
        case "equalize":
            return ImageOps.equalize(view)
    if name in trivial.ENHANCED:
        return _enhanced(view, name, trivial.factor(level))
    numbers = trivial.matrix(name, level / trivial.TOP, view.width)
    return view.transform(view.size, Image.Transform.AFFINE, numbers, Image.Resampling.NEAREST)


def _jittered(view: Image.Image, jitter: Jitter, row: int) -> Image.Image:
    """The operations that are on, in the row's own order."""
    given = (
        ("brightness", jitter.brightness_N),
        ("contrast", jitter.contrast_N),
        ("saturation", jitter.saturation_N),
        ("hue", jitter.hue_N),
    )
    for number in jitter.order_NK[row].tolist():
        name, by_N = given[number]
        if by_N is not None:
            by = float(by_N[row])
            view = _turned(view, by) if name == "hue" else _enhanced(view, name, by)
    return view


def _enhanced(view: Image.Image, name: str, by: float) -> Image.Image:
    from PIL import ImageEnhance

    operations = {
        "brightness": ImageEnhance.Brightness,
        "contrast": ImageEnhance.Contrast,
        "saturation": ImageEnhance.Color,
        "sharpness": ImageEnhance.Sharpness,
    }
    return operations[name](view).enhance(by)


def _turned(view: Image.Image, turn: float) -> Image.Image:
    """Of another hue, which has 8 bits."""
    from PIL import Image

    if view.mode == "L":
        return view
    hue, saturation, value = view.convert("HSV").split()
    moved = Image.fromarray(np.asarray(hue) + np.uint8(int(turn * 255) % 256))
    return Image.merge("HSV", (moved, saturation, value)).convert("RGB")
