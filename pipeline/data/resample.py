"""Crops of a batch, resized with Pillow's arithmetic, bit for bit, on any device.

Whole numbers, and floats of which each operation stands alone: so the result hangs on no device, no number of threads
and no company in the batch. Pillow computes weights in float64, rounds them to 22 bits, and sums along rows, then
along columns, with whole pixels between (Pillow, src/libImaging/Resample.c). Pillow 13 goes along columns first where
that is less work, which changes a value by 1 at most; here rows come first, always.

Legend: B batch, C channels, H, W edges of images, S of the result, K pixels of which one is made.
"""

import math

import torch
from torch import Tensor

BITS = 22  # of a weight


def resampled(images_BCHW: Tensor, boxes: tuple[Tensor, Tensor, Tensor, Tensor], size: int) -> Tensor:
    """Crop a box of whole pixels from each image and resize it to a square, bilinearly, without aliasing.

    images_BCHW: uint8. boxes: upper, left, height and width, int64 (B,); a box may reach beyond the image, where all
    is black, and is no longer than the image's longer edge. Returns uint8 (B, C, size, size).
    """
    y_B, x_B, h_B, w_B = boxes
    height, width = images_BCHW.shape[2:]
    # A box of a padded image may be as long as its longer edge; a bound, so that no device is waited for.
    longest = max(height, width)
    wide_BCHS = _along_rows(images_BCHW, x_B, w_B, size, longest)
    tall_BCSS = _along_rows(wide_BCHS.transpose(2, 3), y_B, h_B, size, longest)
    return tall_BCSS.transpose(2, 3).contiguous()


def over(values: Tensor, number: float) -> Tensor:
    """`values / number`, which a GPU would take for `values * (1 / number)`, and round twice."""
    return values / torch.full_like(values, number)


def _along_rows(images_BCHW: Tensor, start_B: Tensor, length_B: Tensor, size: int, longest: int) -> Tensor:
    batch, channels, height, width = images_BCHW.shape
    first_BS, weights = _weights(length_B, size, math.ceil(2 * max(1.0, longest / size)))
    sum_BCHS = torch.full((batch, channels, height, size), 1 << (BITS - 1), dtype=torch.int32, device=start_B.device)
    for k, weight_BS in enumerate(weights):
        at_BS = start_B[:, None] + first_BS + k
        weight_BS = torch.where((at_BS >= 0) & (at_BS < width), weight_BS, 0)
        at_BCHS = at_BS.clamp(0, width - 1)[:, None, None].expand(-1, channels, height, -1)
        sum_BCHS += images_BCHW.gather(3, at_BCHS).int().mul_(weight_BS[:, None, None])
    return (sum_BCHS >> BITS).clamp_(0, 255).to(torch.uint8)


def _weights(length_B: Tensor, size: int, most: int) -> tuple[Tensor, list[Tensor]]:
    """The first pixel that counts for each new one, int64 (B, S), and the weights of the next `most`, int32 (B, S)."""
    scale_B1 = over(length_B[:, None].double(), size)
    support_B1 = scale_B1.clamp(min=1.0)
    centre_BS = (torch.arange(size, device=length_B.device).double() + 0.5) * scale_B1
    first_BS = (centre_BS - support_B1 + 0.5).clamp(min=0).long()
    last_BS = torch.minimum((centre_BS + support_B1 + 0.5).long(), length_B[:, None])
    inverse_B1 = 1.0 / support_B1
    found = []
    total_BS = torch.zeros_like(centre_BS)
    for k in range(most):
        far_BS = ((first_BS + k).double() - centre_BS + 0.5) * inverse_B1
        weight_BS = torch.where(first_BS + k < last_BS, 1 - far_BS.abs(), 0.0).clamp(min=0)
        total_BS = total_BS + weight_BS
        found.append(weight_BS)
    return first_BS, [(each / total_BS * (1 << BITS) + 0.5).int() for each in found]
