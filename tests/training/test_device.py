"""What runs in which type and memory layout, and where the number of threads comes from."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from pipeline.base.errors import UserError
from pipeline.training.device import choose
from tests.training.runs import machine

CPU = machine()


@pytest.fixture
def layer() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(64, 10)


def test_bfloat16_computes_in_it_and_answers_in_float32(layer: nn.Linear) -> None:
    x_BCHW = torch.randn(8, 64, generator=torch.Generator().manual_seed(1))[:, :, None, None]
    model = nn.Sequential(nn.Flatten(), layer)
    with torch.no_grad():
        narrow_BC, wide_BC = (choose(CPU, name).forward(model)(x_BCHW) for name in ("bfloat16", "float32"))
        exact_BC = model.double()(x_BCHW.double())
    assert narrow_BC.dtype == wide_BC.dtype == torch.float32
    assert torch.equal(narrow_BC, narrow_BC.bfloat16().float()), "no bit more than bfloat16 has"
    torch.testing.assert_close(narrow_BC.double(), exact_BC, rtol=0.05, atol=0.05)
    torch.testing.assert_close(wide_BC.double(), exact_BC, rtol=1e-5, atol=1e-5)
    assert float((narrow_BC - wide_BC).abs().max()) > 1e-4


def test_the_precision_is_the_one_that_was_asked_for() -> None:
    assert choose(CPU, "bfloat16").dtype == torch.bfloat16
    assert choose(CPU, "float32").dtype == choose(CPU, "auto").dtype == torch.float32


def test_threads_are_those_of_the_params_and_else_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    choose(machine(threads=3), "float32")
    choose(CPU, "float32")
    assert asked == [3]


def test_a_device_that_is_not_here_is_one_sentence() -> None:
    with pytest.raises(UserError, match=r"machine\.device is 'cuda:99', which this machine does not have"):
        choose(machine("cuda:99"), "float32")


@pytest.mark.parametrize(
    ("precision", "asked", "last"),
    [
        ("float32", "auto", False),
        ("bfloat16", "auto", True),
        ("float32", "channels_last", True),
        ("bfloat16", "contiguous", False),
    ],
)
def test_images_and_weights_lie_as_was_asked_for_or_as_suits_the_precision(
    precision: str, asked: str, last: bool
) -> None:
    device = choose(replace(CPU, memory_format=asked), precision)
    convolution = nn.Conv2d(3, 4, 3)
    device.place(convolution)
    for one in (device.layout(torch.zeros(2, 3, 4, 5)), convolution.weight):
        assert one.is_contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    # A saved training is that of its layout; what `auto` takes has no name, as before there was a choice.
    assert device.describe().get("channels last") == (None if asked == "auto" else last)
