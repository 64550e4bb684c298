"""The one shape that our own networks have: named parts in a row."""

from collections.abc import Mapping

from torch import nn


class Net(nn.Sequential):
    """Named parts in a row, (B, channels, H, W) images in, (B, classes) logits out.

    Parts whose name starts with `stage` end at a resolution; `embedding` gives flat (B, D) features.
    `taps` are those names, in order.
    """

    taps: tuple[str, ...]

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.taps = (*(name for name in parts if name.startswith("stage")), "embedding")
        initialise(self)


def initialise(net: nn.Module) -> None:
    """Kaiming normal over the fan out for convolutions (He et al. 2015), 1 and 0 for batch norm.

    Linear layers keep torch's default. Only torch's global generator is drawn from.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def renew(layer: nn.Module) -> None:
    """Initialise the layer that gives the logits as torch does by itself, from its global generator.

    Families have ways of their own: that of timm's EfficientNets draws from ±1/√classes, so that a new layer for ten
    classes answers features that were trained with a loss of 7, and its gradient spoils them.
    """
    if isinstance(layer, nn.Linear | nn.Conv2d):
        layer.reset_parameters()


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """3x3 convolution that keeps the map's size at stride 1; no bias, as a batch norm is always near."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


def conv_norm_relu(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    """The layers of one plain convolution. ReLU is out of place: a tap may hold what comes before it."""
    return [conv3x3(inputs, outputs, stride), nn.BatchNorm2d(outputs), nn.ReLU()]


def pooled() -> nn.Sequential:
    """Global average pooling: (B, D, H, W) to (B, D)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
