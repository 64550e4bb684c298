"""Operations on the colours of a batch, with Pillow's arithmetic, bit for bit, on any device.

Whole numbers, and floats of which each operation stands alone (see `data.resample`). Grey images have no saturation
and no hue. Legend: B batch, C channels (1 or 3), H, W edges, P pixels.
"""

import torch
from torch import Tensor

from pipeline.data.resample import over

RED, GREEN, BLUE = 19595, 38470, 7471  # of 2^16: ITU-R 601-2, as Pillow's `convert("L")`


def brightness(images_BCHW: Tensor, factor_B: Tensor) -> Tensor:
    """`ImageEnhance.Brightness`: 0 is black, 1 the image. uint8, float32."""
    return blend(torch.zeros_like(factor_B)[:, None, None, None], images_BCHW, factor_B)


def contrast(images_BCHW: Tensor, factor_B: Tensor) -> Tensor:
    """`ImageEnhance.Contrast`: 0 is the mean grey of the image, 1 the image."""
    grey_BP = grey(images_BCHW).flatten(1).long()
    count = grey_BP.shape[1]
    mean_B = (2 * grey_BP.sum(dim=1) + count) // (2 * count)
    return blend(mean_B[:, None, None, None], images_BCHW, factor_B)


def saturation(images_BCHW: Tensor, factor_B: Tensor) -> Tensor:
    """`ImageEnhance.Color`: 0 is the grey image, 1 the image."""
    if images_BCHW.shape[1] == 1:
        return images_BCHW
    return blend(grey(images_BCHW), images_BCHW, factor_B)


def sharpness(images_BCHW: Tensor, factor_B: Tensor) -> Tensor:
    """`ImageEnhance.Sharpness`: 0 is the image smoothed, 1 the image. Pixels at the border are not smoothed."""
    whole = images_BCHW.int()
    height, width = whole.shape[2:]
    smooth = whole.clone()
    if min(height, width) > 2:
        around = sum(whole[:, :, i : height - 2 + i, j : width - 2 + j] for i in range(3) for j in range(3))
        # (sum of nine + 4 times the middle) / 13 to the nearest: never half way, 13 is odd.
        smooth[:, :, 1:-1, 1:-1] = (2 * (around + 4 * whole[:, :, 1:-1, 1:-1]) + 13) // 26
    return blend(smooth, images_BCHW, factor_B)


def hue(images_BCHW: Tensor, turn_B: Tensor) -> Tensor:
    """torchvision's `adjust_hue` of a picture: hue has 8 bits. turn_B: float64, -0.5 .. 0.5 of the colour wheel."""
    if images_BCHW.shape[1] == 1:
        return images_BCHW
    h_BHW, s_BHW, v_BHW = _hsv(images_BCHW)
    h_BHW = (h_BHW + (turn_B * 255).trunc().long()[:, None, None]) % 256
    return _rgb(h_BHW, s_BHW, v_BHW)


def posterize(images_BCHW: Tensor, bits_B: Tensor) -> Tensor:
    """Keep the upper bits, int64 1 .. 8."""
    step_B = torch.bitwise_left_shift(torch.ones_like(bits_B), 8 - bits_B)[:, None, None, None]
    whole = images_BCHW.long()
    return (whole - whole % step_B).to(torch.uint8)


def solarize(images_BCHW: Tensor, threshold_B: Tensor) -> Tensor:
    """Invert what is not below a threshold, float64."""
    return torch.where(images_BCHW < threshold_B[:, None, None, None], images_BCHW, 255 - images_BCHW)


def autocontrast(images_BCHW: Tensor) -> Tensor:
    """`ImageOps.autocontrast`: of each channel the darkest becomes 0 and the lightest 255; flat ones stay."""
    low, high = images_BCHW.amin((2, 3), keepdim=True).double(), images_BCHW.amax((2, 3), keepdim=True).double()
    scale = torch.full_like(high, 255.0) / (high - low).clamp(min=1)
    spread = images_BCHW.double() * scale + -low * scale  # Pillow's order of operations
    return torch.where(high > low, spread.trunc().clamp(0, 255), images_BCHW.double()).to(torch.uint8)


def equalize(images_BCHW: Tensor) -> Tensor:
    """`ImageOps.equalize`: of each channel, levels by the number of pixels below them."""
    batch, channels, *_ = images_BCHW.shape
    values = images_BCHW.reshape(batch * channels, -1)
    ordered = values.sort(dim=1).values.contiguous()
    levels = torch.arange(256, device=values.device, dtype=torch.uint8).expand(len(values), 256).contiguous()
    below = torch.searchsorted(ordered, levels)  # sorted, since torch counts no histogram deterministically on a GPU
    highest = (ordered == ordered[:, -1:]).sum(dim=1, keepdim=True)
    step = (values.shape[1] - highest) // 255
    table = torch.where(step > 0, ((step // 2 + below) // step.clamp(min=1)).clamp(max=255), levels)
    return table.gather(1, values.long()).to(torch.uint8).view(images_BCHW.shape)


def grey(images_BCHW: Tensor) -> Tensor:
    """int32 (B, 1, H, W), 0 .. 255."""
    if images_BCHW.shape[1] == 1:
        return images_BCHW.int()
    red, green, blue = images_BCHW.int().split(1, dim=1)
    return (red * RED + green * GREEN + blue * BLUE + 0x8000) >> 16


def blend(from_BCHW: Tensor, to_BCHW: Tensor, factor_B: Tensor) -> Tensor:
    """`Image.blend`: on the line through two images, cut off and not rounded; uint8. The first one may be broadcast."""
    low = from_BCHW.float()
    # Not `lerp` nor `add(alpha=…)`, which round once on some processors and twice on others.
    line = to_BCHW.float().sub_(low).mul_(factor_B[:, None, None, None]).add_(low)
    return line.clamp_(0, 255).to(torch.uint8)


def _hsv(images_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pillow's hue, saturation and value, int64 (B, H, W), 0 .. 255."""
    red, green, blue = images_BCHW.long().unbind(dim=1)
    high, low = images_BCHW.amax(dim=1).long(), images_BCHW.amin(dim=1).long()
    spread = (high - low).clamp(min=1).float()
    s_BHW = ((spread / high.clamp(min=1).float()).double() * 255).long()
    r, g, b = ((high - each).float() / spread for each in (red, green, blue))
    # Pillow rounds to float32 what it computes in float64.
    sector = torch.where(
        red == high,
        b - g,
        torch.where(green == high, (2.0 + r.double() - b.double()).float(), (4.0 + g.double() - r.double()).float()),
    )
    h_BHW = (((over(sector.double(), 6.0) + 1.0) % 1.0).float().double() * 255).long()
    is_grey = high == low
    return h_BHW.masked_fill(is_grey, 0), s_BHW.masked_fill(is_grey, 0), high


def _rgb(h_BHW: Tensor, s_BHW: Tensor, v_BHW: Tensor) -> Tensor:
    """The colours of Pillow's hue, saturation and value; uint8 (B, 3, H, W)."""
    turned = over(h_BHW.double() * 6.0, 255.0)
    sector = turned.floor().long()
    rest = (turned - sector.double()).float().double()
    s = over(s_BHW.double(), 255.0).float().double()
    v = v_BHW.double()
    p, q, t = ((v * each + 0.5).floor().long() for each in (1.0 - s, 1.0 - s * rest, 1.0 - s * (1.0 - rest)))
    v = v_BHW
    choices = ((v, t, p), (q, v, p), (p, v, t), (p, q, v), (t, p, v), (v, p, q))
    sector = (sector % 6)[None]
    found = [torch.stack([choice[c] for choice in choices]).gather(0, sector)[0] for c in range(3)]
    return torch.stack(found, dim=1).to(torch.uint8)
