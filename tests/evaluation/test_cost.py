import random
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.evaluation.cost import CHUNK, WARM_UP, compressed_bytes, file_bytes, flops, latency_ms, parameters
from pipeline.models.build import build


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )


def test_parameters_are_counted_by_hand() -> None:
    model = net()
    by_hand = 8 * 3 * 9 + 2 * 8 + 16 * (8 // 4) * 9 + 16 + 16 * 10 + 10
    assert parameters(model) == by_hand
    assert parameters(model.requires_grad_(False)) == by_hand
    assert parameters(nn.ModuleList([model, model[0]])) == by_hand


def test_flops_are_counted_by_hand() -> None:
    first = 2 * (8 * 3 * 9) * 12 * 12
    second = 2 * (16 * (8 // 4) * 9) * 6 * 6
    assert flops(net(), 3, 12) == first + second + 2 * 16 * 10


@pytest.mark.parametrize(
    "architecture",
    [
        {"family": "residual", "depth": 8, "width": 4},
        {"family": "wide", "depth": 10, "widen": 1},
        {"family": "separable"},
        {"family": "plain", "depth": 4},
    ],
    ids=str,
)
def test_flops_are_those_of_torchs_own_counter(architecture: dict[str, Any]) -> None:
    model = build(architecture, channels=3, size=16, classes=5).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, 16, 16))
    assert flops(model, 3, 16) == counter.get_total_flops() > 0


def test_counting_leaves_the_model_as_it_was() -> None:
    model = net().train()
    model[0].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    flops(model, 3, 12)
    assert model.training
    assert not model[0].training
    assert model[1].training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_latency_is_the_median_after_warm_up_in_milliseconds() -> None:
    calls: list[bool] = []

    def forward(x_BCHW: Tensor) -> Tensor:
        calls.append(torch.is_grad_enabled())
        slow = len(calls) <= WARM_UP or len(calls) == WARM_UP + 3
        time.sleep(0.05 if slow else 0.002)
        return x_BCHW

    found = latency_ms(forward, torch.zeros(1, 3, 4, 4), repeats=4)
    assert 2 <= found < 40, "of nine runs with the warm-up, six are slow: they would be the median"
    assert calls == [False] * (WARM_UP + 4)


def test_compressed_bytes_are_those_of_zlib(tmp_path: Path) -> None:
    """Also of what ends within a block, and of more than one chunk."""
    for content in (b"", b"abc" * 7, random.Random(0).randbytes(CHUNK + 9)):
        (tmp_path / "file").write_bytes(content)
        assert compressed_bytes(tmp_path / "file") == len(zlib.compress(content, 9))


def test_bytes_of_a_file_and_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a").write_bytes(bytes(100))
    (tmp_path / "deep" / "b").write_bytes(bytes(23))
    assert file_bytes(tmp_path / "a") == 100
    assert file_bytes(tmp_path) == 123
    with pytest.raises(FileNotFoundError):
        file_bytes(tmp_path / "gone")
