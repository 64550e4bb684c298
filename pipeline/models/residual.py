"""Residual networks for small images (He et al. 2016, section 4.2): 6n+2 layers in three stages.

Shortcuts are their option A, which has no parameters: where a block halves the map and doubles the
channels, the shortcut takes every second pixel and pads the new channels with zeros.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.config.numbers import Count
from pipeline.models.net import Net, conv3x3, conv_norm_relu, pooled
from pipeline.models.stages import blocks_a_stage, three_stages


class Block(nn.Module):
    """Basic block: two 3x3 convolutions and a shortcut without parameters."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *conv_norm_relu(inputs, outputs, stride), conv3x3(outputs, outputs), nn.BatchNorm2d(outputs)
        )
        self.stride = stride
        self.added = outputs - inputs

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H/stride, W/stride)."""
        shortcut_BCHW = x_BCHW
        if self.added:
            pixels_BCHW = x_BCHW[:, :, :: self.stride, :: self.stride]
            shortcut_BCHW = F.pad(pixels_BCHW, (0, 0, 0, 0, 0, self.added))
        return F.relu(self.body(x_BCHW) + shortcut_BCHW)


def build(*, channels: int, size: int, classes: int, depth: Count = 8, width: Count = 16) -> Net:
    """A residual network of `depth` = 6n+2 layers, with stages of 1, 2 and 4 times `width` channels.

    It takes images (B, channels, H, W) of any `size`: it pools globally.
    """
    blocks = blocks_a_stage(depth, 2, "residual")
    stem = nn.Sequential(*conv_norm_relu(channels, width))
    stages = three_stages(Block, width, width, blocks)
    return Net({"stem": stem, **stages, "embedding": pooled(), "linear": nn.Linear(4 * width, classes)})
