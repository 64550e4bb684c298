"""Several students of one shape as one network of grouped layers, against one after the other, in one process.

Only nets that do not depend on each other can stand side by side so: seeds and methods, not generations.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import world
from benchmarks.measure import Figure, interleaved, ratio
from pipeline.models.build import build
from pipeline.training.device import Device

COUNT = 5
CASES = (((4, 8), 1, 8, 32), ((16, 32, 64), 3, 32, 128))  # widths, channels, size of an image, batch


def measure(folder: Path, tiny: bool) -> list[Figure]:
    """A step of five students each: the default one on 8x8 digits, a wider one on 32x32 colour images."""
    on = world.device()
    found = []
    for widths, channels, size, batch in CASES[:1] if tiny else CASES:
        x_KBCHW = torch.randn(COUNT, batch, channels, size, size, device=on.where)
        y_KB = torch.randint(0, 10, (COUNT, batch), device=on.where)
        arms = {"together": together(widths, x_KBCHW, y_KB, on), "in turn": in_turn(widths, x_KBCHW, y_KB, on)}
        name = f"{COUNT} students, plain {[*widths]}, {size}×{size}: together ÷ in turn"
        found.append(ratio(name, interleaved(arms, 1 if tiny else 40), "together", "in turn"))
    return found


def in_turn(widths: tuple[int, ...], x_KBCHW: Tensor, y_KB: Tensor, on: Device) -> Callable[[], None]:
    """A step of each network, one after the other."""
    shape = {"channels": x_KBCHW.shape[2], "size": x_KBCHW.shape[3], "classes": 10}
    nets = [build({"family": "plain", "widths": [*widths]}, **shape).to(on.where).train() for _ in x_KBCHW]
    optimizers = [optimizer(net) for net in nets]

    def step() -> None:
        for net, of, x_BCHW, y_B in zip(nets, optimizers, x_KBCHW, y_KB, strict=True):
            of.zero_grad()
            F.cross_entropy(net(x_BCHW), y_B).backward()
            of.step()

    return step


def together(widths: tuple[int, ...], x_KBCHW: Tensor, y_KB: Tensor, on: Device) -> Callable[[], None]:
    """A step of all networks: their channels side by side, their sums of losses as one."""
    count, batch, channels, *_ = x_KBCHW.shape
    net = Grouped(count, channels, widths).to(on.where).train()
    of, x_BGHW = optimizer(net), x_KBCHW.transpose(0, 1).flatten(1, 2).contiguous()

    def step() -> None:
        of.zero_grad()
        loss = count * F.cross_entropy(net(x_BGHW).reshape(count * batch, -1), y_KB.flatten())
        loss.backward()
        of.step()

    return step


def optimizer(net: nn.Module) -> torch.optim.Optimizer:
    """As both arms have it."""
    return torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, fused=True)


class Grouped(nn.Module):
    """`count` plain networks as one: logits (K, B, 10) of images (B, K·C, H, W)."""

    def __init__(self, count: int, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        pairs = zip((channels, *widths), widths, strict=False)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(count * before, count * after, 3, padding=1, groups=count, bias=False),
                nn.BatchNorm2d(count * after),
                nn.ReLU(),
            )
            for before, after in pairs
        )
        self.weight_KCO = nn.Parameter(0.1 * torch.randn(count, widths[-1], 10))
        self.bias_K1O = nn.Parameter(torch.zeros(count, 1, 10))

    def forward(self, x_BGHW: Tensor) -> Tensor:
        for number, block in enumerate(self.blocks):
            x_BGHW = block(F.max_pool2d(x_BGHW, 2) if number else x_BGHW)
        count = len(self.weight_KCO)
        h_KBC = x_BGHW.mean((2, 3)).unflatten(1, (count, -1)).transpose(0, 1)
        return torch.baddbmm(self.bias_K1O, h_KBC, self.weight_KCO)
