import random
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import DeformConv2d

from pipeline.evaluation.cost import (
    CHUNK,
    PRODUCTS,
    WARM_UP,
    compressed_bytes,
    file_bytes,
    flops,
    flops_by_layer,
    latency_ms,
    parameters,
)
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


class Of(nn.Module):
    """Something computed of x (1, 3, 8, 8), by layers."""

    def __init__(self, compute: Callable[..., Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.compute, self.layers = compute, nn.ModuleList(layers)
        self.some = nn.Parameter(torch.zeros(1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.compute(x_BCHW, *self.layers)


def self_attention(x: Tensor, layer: nn.Module, **options: Any) -> Tensor:
    return layer(x[:, 0], x[:, 0], x[:, 0], **options)[0]


# N = 8 rows of width E = 8; a multiply-add is two operations.
PROJECTIONS = 2 * 8 * (3 * 8 * 8 + 8 * 8)
ATTENTION = 2 * 2 * 8 * 8 * 8  # queries by keys, then by values; heads share the width
LAYERS: dict[str, tuple[nn.Module, int]] = {
    "linear": (Of(lambda x, f: f(x), nn.Linear(8, 5)), 2 * 3 * 8 * 8 * 5),
    "linear of one row": (Of(lambda x, f: f(x[0, 0, 0]), nn.Linear(8, 5)), 2 * 8 * 5),
    "bilinear": (Of(lambda x, f: f(x, x), nn.Bilinear(8, 8, 5)), 2 * 3 * 8 * 5 * 8 * 8),
    "conv1d": (Of(lambda x, f: f(x[:, 0]), nn.Conv1d(8, 4, 3)), 2 * 4 * 8 * 3 * 6),
    "conv2d": (Of(lambda x, f: f(x), nn.Conv2d(3, 4, 3, stride=2, padding=1)), 2 * 4 * 3 * 9 * 4 * 4),
    "conv2d dilated": (Of(lambda x, f: f(x), nn.Conv2d(3, 4, 3, dilation=2)), 2 * 4 * 3 * 9 * 4 * 4),
    "conv2d in groups": (Of(lambda x, f: f(x), nn.Conv2d(3, 6, 3, padding=1, groups=3)), 2 * 6 * 1 * 9 * 8 * 8),
    "conv3d": (Of(lambda x, f: f(x[None]), nn.Conv3d(1, 2, 3)), 2 * 2 * 27 * 1 * 6 * 6),
    # Each pixel of the input goes to each of the kernel.
    "transposed": (Of(lambda x, f: f(x), nn.ConvTranspose2d(3, 4, 3, stride=2)), 2 * 3 * 4 * 9 * 8 * 8),
    "transposed in groups": (Of(lambda x, f: f(x), nn.ConvTranspose2d(3, 6, 2, groups=3)), 2 * 3 * 2 * 4 * 8 * 8),
    "deformable": (Of(lambda x, f: f(x, x.new_zeros(1, 18, 6, 6)), DeformConv2d(3, 4, 3)), 2 * 4 * 3 * 9 * 6 * 6),
    "bmm": (Of(lambda x: x[0].bmm(x[0])), 2 * 3 * 8**3),
    "baddbmm": (Of(lambda x: torch.baddbmm(x[0], x[0], x[0])), 2 * 3 * 8**3),
    "addbmm": (Of(lambda x: torch.addbmm(x[0, 0], x[0], x[0])), 2 * 3 * 8**3),
    "matmul": (Of(lambda x: x @ x), 2 * 3 * 8**3),
    "matmul with a vector": (Of(lambda x: x[0, 0] @ x[0, 0, 0]), 2 * 8 * 8),
    "addmv": (Of(lambda x: torch.addmv(x[0, 0, 0], x[0, 0], x[0, 0, 0])), 2 * 8 * 8),
    "matmul of vectors": (Of(lambda x: x[0, 0, 0] @ x[0, 0, 0]), 2 * 8),
    "matmul of whole numbers": (
        Of(lambda x: torch.ops.aten._int_mm(x[0].reshape(24, 8).to(torch.int8), x[0, 0].to(torch.int8))),
        2 * 24 * 8 * 8,
    ),
    "matmul with an activation": (
        Of(lambda x: torch.ops.aten._addmm_activation(x[0, 0, 0], x[0, 0], x[0, 0])),
        2 * 8**3,
    ),
    "einsum": (Of(lambda x: torch.einsum("bcij,bcjk->bik", x, x)), 2 * 3 * 8**3),
    "attention": (Of(lambda x: F.scaled_dot_product_attention(x, x, x)), 3 * ATTENTION),
    "causal attention": (Of(lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True)), 3 * ATTENTION),
    "MultiheadAttention": (Of(self_attention, nn.MultiheadAttention(8, 2, batch_first=True)), PROJECTIONS + ATTENTION),
    "MultiheadAttention's fast path": (
        Of(partial(self_attention, need_weights=False), nn.MultiheadAttention(8, 2, batch_first=True)),
        PROJECTIONS + ATTENTION,
    ),
    "TransformerEncoderLayer": (
        Of(lambda x, f: f(x[:, 0]), nn.TransformerEncoderLayer(8, 2, 32, batch_first=True)),
        PROJECTIONS + ATTENTION + 2 * 8 * 2 * 8 * 32,
    ),
    "LSTM": (Of(lambda x, f: f(x[:, 0])[0], nn.LSTM(8, 5, batch_first=True)), 2 * 8 * 4 * 5 * (8 + 5)),
    "GRU": (Of(lambda x, f: f(x[:, 0])[0], nn.GRU(8, 5, batch_first=True)), 2 * 8 * 3 * 5 * (8 + 5)),
    "RNN": (Of(lambda x, f: f(x[:, 0])[0], nn.RNN(8, 5, batch_first=True)), 2 * 8 * 5 * (8 + 5)),
}


def test_a_linear_layer_that_a_device_keeps_whole_has_the_same_formula() -> None:
    """Apple's does, and no other."""
    assert PRODUCTS["aten.linear"](torch.zeros(3, 8), torch.zeros(5, 8), torch.zeros(5), out_val=None) == 2 * 3 * 8 * 5


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_each_kind_of_layer_has_the_operations_of_its_formula(kind: str, dtype: torch.dtype) -> None:
    model, operations = LAYERS[kind]
    if (kind, dtype) == ("deformable", torch.bfloat16):
        return  # torchvision has no kernel for it
    assert flops(model.to(dtype), 3, 8) == operations


def test_a_vision_transformer_has_the_operations_that_are_published() -> None:
    """17.56 GMACs of vit_b_16 (torchvision's table of weights), where fused attention counts nothing."""
    with torch.device("meta"):
        model = torchvision.models.vit_b_16()
    rows, width = 197, 768
    block = 2 * rows * width * (4 * width + 2 * 4 * width) + 4 * rows * rows * width
    head = 2 * width * (14 * 14 * 3 * 16 * 16 + 1000)
    assert flops(model.to_empty(device="cpu"), 3, 224) == 12 * block + head
    assert round((12 * block + head) / 1e9, 1) == 35.1


def test_counting_leaves_torchs_switches_as_they_were() -> None:
    backends = torch.backends

    def switches() -> list[bool]:
        return [
            backends.cuda.math_sdp_enabled(),
            backends.cuda.flash_sdp_enabled(),
            backends.cuda.mem_efficient_sdp_enabled(),
            backends.cuda.cudnn_sdp_enabled(),
            backends.mha.get_fastpath_enabled(),
            bool(backends.mkldnn.enabled),
            bool(backends.cudnn.enabled),
        ]

    before, seen = switches(), []

    def fail(x: Tensor) -> Tensor:
        seen.extend(switches())
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        flops(Of(fail), 3, 8)
    assert seen == [True, *[False] * 6]
    assert switches() == before != seen


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


def test_layers_that_are_called_have_their_part_of_the_whole() -> None:
    """One that is called twice counts twice, and hooks do not stay."""
    twice = nn.Linear(8, 8)
    model = nn.Sequential(twice, nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Linear(8, 8), twice)
    model.add_module("idle", nn.Identity())
    found = flops_by_layer(model, 1, 8, ["0", "1", "3"])
    assert found == {"0": 2 * 8 * 64 + 2 * 8 * 4 * 64, "1": 2 * 9 * 4 * 64, "3": 2 * 8 * 4 * 64}
    assert sum(found.values()) == flops(model, 1, 8)
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in model.modules())
    lonely = nn.Sequential(nn.Flatten(0), nn.Linear(64, 2))
    lonely.extra = nn.Linear(3, 3)  # in no pass: `Sequential` runs it last, where it would not fit
    with pytest.raises(RuntimeError):
        flops_by_layer(lonely, 1, 8, ["1"])
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in lonely.modules())


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
