"""Branches merged into one layer: the same answers, and never others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn

from pipeline.compression.merge import merged
from pipeline.lineage import node
from tests.compression.chains import SHORT, run, workshop
from tests.training.runs import furnish, inside

NETWORKS = '''
from torch import nn


class Branches(nn.Module):
    """As RepVGG's: three by three, one by one, and in deployment their sum."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.wide = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.narrow = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x):
        return self.wide(x) + self.narrow(x) if hasattr(self, "narrow") else self.wide(x)

    def switch_to_deploy(self):
        self.wide.weight.data[:, :, 1:2, 1:2] += self.narrow.weight.data
        self.wide.bias.data += self.narrow.bias.data
        del self.narrow


def branches(classes, channels):
    parts = [Branches(channels, 4), nn.ReLU(), Branches(4, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*parts, nn.Linear(8, classes))
'''
OWN: dict[str, Any] = {"family": "own", "module": "networks.py", "build": "branches"}


def network() -> nn.Sequential:
    made: dict[str, Any] = {}
    exec(NETWORKS, made)
    torch.manual_seed(0)
    net: nn.Sequential = made["branches"](5, 1)
    return net.eval()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with inside(tmp_path):
        furnish(tmp_path)
    with workshop(tmp_path):
        Path("networks.py").write_text(NETWORKS)
        yield tmp_path


def test_it_answers_the_same_by_fewer_layers() -> None:
    net = network()
    net = nn.Sequential(nn.Identity(), net)
    one, blocks = merged(net, channels=1, size=8)
    x_BCHW = torch.rand(2, 1, 8, 8)
    assert (blocks, sum(isinstance(each, nn.Conv2d) for each in one.modules())) == (2, 2)
    assert merged(one, channels=1, size=8) == (one, 0), "once is all"
    assert torch.allclose(one(x_BCHW), net(x_BCHW), atol=1e-6)
    assert sum(isinstance(each, nn.Conv2d) for each in net.modules()) == 4, "the other is as it was"


def test_what_would_answer_otherwise_or_cannot_stays() -> None:
    def wrong(self: Any) -> None:
        self.wide.bias.data += 1.0
        del self.narrow

    def cannot(self: Any) -> None:
        raise ValueError("its channels were pruned")

    for method in (wrong, cannot):
        net = network()
        type(net[0]).switch_to_deploy = method  # pyright: ignore[reportAttributeAccessIssue]
        assert merged(net, channels=1, size=8) == (net, 0)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    assert merged(plain, channels=1, size=8) == (plain, 0)


def test_what_ships_has_no_branches(folder: Path) -> None:
    distil = {"kind": "distil", "architecture": OWN, "recipe": SHORT}
    steps = {"steps": {"rep": distil, "int8": {"kind": "quantise"}, "export": {}}}
    for order in (["rep", "export"], ["rep", "int8", "export"]):
        made = run(folder, order, steps)
        convolutions = [each for each in onnx.load(made[1].weights).graph.node if each.op_type == "Conv"]
        assert len(convolutions) == 2
        told = [node.read_numbers(each.name) for each in made]
        assert told[1]["report"]["merged"] == 2
        assert told[0]["parameters"] - told[-1]["parameters"] == (1 + 1) * 4 + (4 + 1) * 8


def test_a_part_may_give_what_takes_its_place() -> None:
    class Fused(nn.Sequential):
        def fuse(self) -> nn.Module:
            return nn.Conv2d(1, 4, 1).eval() if len(self) == 1 else self[0]

    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)]
    net = nn.Sequential(Fused(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)), *head).eval()
    one, count = merged(net, channels=1, size=8)
    assert count == 1 and isinstance(one[0], nn.Conv2d)  # pyright: ignore[reportIndexIssue]
