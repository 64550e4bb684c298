"""Wide residual networks (Zagoruyko & Komodakis 2016, table 1): 6n+4 layers, pre-activation blocks."""

from functools import partial

from torch import Tensor, nn

from pipeline.config.numbers import Count, Share
from pipeline.models.net import Net, conv3x3, pooled
from pipeline.models.stages import blocks_a_stage, three_stages

STEM = 16


class WideBlock(nn.Module):
    """Norm and ReLU before each 3x3 convolution, dropout between them.

    Where the widths differ, the shortcut is a 1x1 convolution of the activated input, as in the
    authors' code; else the raw input.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.activation = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        self.body = nn.Sequential(
            conv3x3(inputs, outputs, stride),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Dropout(dropout),
            conv3x3(outputs, outputs),
        )
        self.shortcut = None if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H/stride, W/stride)."""
        active_BCHW = self.activation(x_BCHW)
        shortcut_BCHW = x_BCHW if self.shortcut is None else self.shortcut(active_BCHW)
        return self.body(active_BCHW) + shortcut_BCHW


def build(*, channels: int, size: int, classes: int, depth: Count = 16, widen: Count = 2, dropout: Share = 0.0) -> Net:
    """WRN-`depth`-`widen`: `depth` = 6n+4 layers, stages of 16, 32 and 64 channels times `widen`.

    It takes images (B, channels, H, W) of any `size`: it pools globally.
    """
    blocks = blocks_a_stage(depth, 4, "wide residual")
    width = STEM * widen
    stages = three_stages(partial(WideBlock, dropout=dropout), STEM, width, blocks)
    activation = nn.Sequential(nn.BatchNorm2d(4 * width), nn.ReLU())
    return Net(
        {"stem": conv3x3(channels, STEM), **stages, "activation": activation}
        | {"embedding": pooled(), "linear": nn.Linear(4 * width, classes)}
    )
