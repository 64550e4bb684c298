"""Plain convolutional networks, in two forms.

`depth`: the networks of the teacher-assistant paper (Mirzadeh et al. 2020, "plane" CNNs of their code
for CIFAR-10), whose depth counts convolutions. Deviations: the convolutions have no bias (a batch norm
follows), and the last pooling is left out where the map is down to one pixel (depths 8 and 10 below 16).

`widths`: stride-2 convolutions of these widths and global average pooling: the smallest students.
"""

from typing import Literal

from torch import nn

from pipeline.base.errors import UserError
from pipeline.config.numbers import Count
from pipeline.models.net import Net, conv_norm_relu, pooled

# Widths of the convolutions between poolings, and of the hidden linear layer (None: there is none).
DEPTHS: dict[int, tuple[tuple[tuple[int, ...], ...], int | None]] = {
    2: (((16,), (16,)), None),
    4: (((16, 16), (32, 32)), None),
    6: (((16, 16), (32, 32), (64, 64)), None),
    8: (((16, 16), (32, 32), (64, 64), (128, 128)), 64),
    10: (((32, 32), (64, 64), (128, 128), (256, 256, 256, 256)), 128),
}


def build(
    *,
    channels: int,
    size: int,
    classes: int,
    depth: Literal[2, 4, 6, 8, 10] | None = None,
    widths: "tuple[Count, ...] | None" = None,
) -> Net:
    """A plain network for images (B, channels, size, size); exactly one of `depth` and `widths` is given."""
    if depth is not None and widths is None:
        return _pooling(channels, size, classes, depth)
    if widths and depth is None:
        return _striding(channels, classes, widths)
    raise UserError(
        "params.yaml, architecture of family plain: give exactly one of `depth` (2, 4, 6, 8 or 10) "
        f"and `widths` (such as [4, 8]), not depth {depth} and widths {widths}"
    )


def _pooling(channels: int, size: int, classes: int, depth: int) -> Net:
    """3x3 convolutions and 2x2 max pooling, then the flattened map."""
    stages, hidden = DEPTHS[depth]
    parts: dict[str, nn.Module] = {}
    for number, widths in enumerate(stages, start=1):
        layers: list[nn.Module] = []
        for width in widths:
            layers += conv_norm_relu(channels, width)
            channels = width
        parts[f"stage{number}"] = nn.Sequential(*layers)
        if size > 1:
            parts[f"pool{number}"] = nn.MaxPool2d(2)
            size //= 2
    features = channels * size * size
    embedding: list[nn.Module] = [nn.Flatten()]
    if hidden is not None:
        embedding += [nn.Linear(features, hidden), nn.ReLU()]
        features = hidden
    return Net(parts | {"embedding": nn.Sequential(*embedding), "linear": nn.Linear(features, classes)})


def _striding(channels: int, classes: int, widths: tuple[int, ...]) -> Net:
    """One stride-2 convolution a width, then global average pooling."""
    parts: dict[str, nn.Module] = {}
    for number, width in enumerate(widths, start=1):
        parts[f"stage{number}"] = nn.Sequential(*conv_norm_relu(channels, width, stride=2))
        channels = width
    return Net(parts | {"embedding": pooled(), "linear": nn.Linear(channels, classes)})
