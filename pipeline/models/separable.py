"""Networks of cheap blocks: what a 3x3 convolution of all channels does is split into a spatial and a 1x1 part.

`separable`: depthwise 3x3, then 1x1 (MobileNet, Howard et al. 2017). `grouped`: the 3x3 convolution sees
`groups` groups of channels, the 1x1 one mixes them. `bottleneck`: inverted residuals with linear
bottlenecks (MobileNetV2, Sandler et al. 2018). Deviations: plain ReLU instead of ReLU6, no last 1x1
convolution before the pooling, and a stem as wide as the first stage, as these networks are small.
"""

from typing import Literal

from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.config.numbers import Count
from pipeline.models.net import Net, conv_norm_relu, pooled

NEEDS = {"groups": {"kind": ["grouped"]}, "expansion": {"kind": ["bottleneck"]}}


class Bottleneck(nn.Module):
    """1x1 convolution to `expansion` times the channels, depthwise 3x3, 1x1 back without activation.

    The shortcut is the input, where the shapes are equal.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.body = nn.Sequential(
            *_pointwise(inputs, hidden),
            *_spatial(hidden, hidden, stride),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H/stride, W/stride)."""
        return self.body(x_BCHW) + x_BCHW if self.shortcut else self.body(x_BCHW)


def build(
    *,
    channels: int,
    size: int,
    classes: int,
    kind: Literal["separable", "grouped", "bottleneck"] = "separable",
    widths: tuple[Count, ...] = (16, 32, 64),
    blocks: Count = 1,
    groups: Count = 4,
    expansion: Count = 4,
) -> Net:
    """A stem, then a stage of `blocks` blocks a width; the stem and each stage after the first halve the map.

    `groups` is of kind grouped, `expansion` of kind bottleneck. Images (B, channels, H, W) may have any
    `size`: it pools globally.
    """
    if not widths:
        raise UserError("params.yaml, architecture.widths: a separable network needs one or more, such as [16, 32]")
    uneven = [width for width in widths if width % groups]
    if kind == "grouped" and uneven:
        raise UserError(f"params.yaml, architecture.widths: {uneven[0]} channels do not divide into {groups} groups")
    parts: dict[str, nn.Module] = {"stem": nn.Sequential(*conv_norm_relu(channels, widths[0], stride=2))}
    inputs = widths[0]
    for number, width in enumerate(widths, start=1):
        layers: list[nn.Module] = []
        for block in range(blocks):
            stride = 2 if number > 1 and block == 0 else 1
            if kind == "bottleneck":
                layers.append(Bottleneck(inputs, width, stride, expansion))
            else:
                of_block = inputs if kind == "separable" else groups
                layers += [*_spatial(inputs, of_block, stride), *_pointwise(inputs, width)]
            inputs = width
        parts[f"stage{number}"] = nn.Sequential(*layers)
    return Net(parts | {"embedding": pooled(), "linear": nn.Linear(inputs, classes)})


def _spatial(width: int, groups: int, stride: int) -> list[nn.Module]:
    """3x3 convolution inside groups of channels."""
    convolution = nn.Conv2d(width, width, 3, stride, padding=1, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(width), nn.ReLU()]


def _pointwise(inputs: int, outputs: int) -> list[nn.Module]:
    """1x1 convolution, which mixes the channels."""
    return [nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
