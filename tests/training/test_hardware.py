"""Which device is meant, and the sentence where it is not to be had. No GPU is here: what torch reports is made up."""

import re
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.config import params
from pipeline.data.prepare import prepare
from pipeline.lineage import node
from pipeline.planning.specs.machine import MachineSpec
from pipeline.planning.specs.spec import write_specs
from pipeline.training import hardware
from pipeline.training.device import choose
from pipeline.training.learn import learn
from tests.training import runs

OUT = "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call"
UNKNOWN = "CUDA error: unknown error\nCompile with TORCH_USE_CUDA_DSA"
TOO_OLD = "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040)."
Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with so many GPUs; reported: what torch warns of, or raises, when asked; fails: how it allocates."""

    def make(count: int, reported: Warning | Exception | None = None, fails: str = "") -> None:
        def is_available() -> bool:
            if isinstance(reported, Warning):
                warnings.warn(reported, stacklevel=2)
            elif reported:
                raise reported
            return count > 0

        def empty(*size: int, device: torch.device) -> None:
            if fails and device.type == "cuda":
                raise RuntimeError(fails)

        monkeypatch.setattr(torch.cuda, "is_available", is_available)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch, "empty", empty)

    return make


@pytest.mark.parametrize("asked", ["auto", "cpu"])
def test_without_a_gpu_auto_is_the_cpu_and_says_nothing(
    machine: Machine, capsys: pytest.CaptureFixture[str], asked: str
) -> None:
    machine(0)
    assert hardware.find(asked) == torch.device("cpu")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("asked", "count"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1), ("mps", 0)])
def test_what_is_not_here_is_called_so(machine: Machine, asked: str, count: int) -> None:
    machine(count)
    sentence = f"params.yaml: machine.device is '{asked}', which this machine does not have: use auto or cpu"
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        hardware.find(asked)


@pytest.mark.parametrize(("asked", "found"), [("auto", "cuda"), ("cuda", "cuda"), ("cuda:1", "cuda:1")])
def test_a_gpu_that_works_is_taken(machine: Machine, asked: str, found: str) -> None:
    machine(2, UserWarning("of something else"))
    assert hardware.find(asked) == torch.device(found)


@pytest.mark.parametrize(
    ("count", "reported", "fails", "why"),
    [
        (0, UserWarning(TOO_OLD), "", TOO_OLD),
        (0, RuntimeError("No such driver\nmore"), "", "No such driver"),
        (1, None, UNKNOWN, "CUDA error: unknown error"),
    ],
    ids=["warns", "raises", "allocates nothing"],
)
def test_a_driver_that_does_not_work_is_no_gpu_that_is_not_here(
    machine: Machine, capsys: pytest.CaptureFixture[str], count: int, reported: Any, fails: str, why: str
) -> None:
    machine(count, reported, fails)
    assert hardware.find("auto") == torch.device("cpu")
    sentence = f"machine.device is auto, and this runs on the CPU: the driver of the GPU does not work ({why})\n"
    assert capsys.readouterr().out == sentence
    with pytest.raises(UserError, match=re.escape(f"'cuda', and its driver does not work ({why}): fix it")):
        hardware.find("cuda")


@pytest.mark.parametrize("asked", ["auto", "cuda", "cuda:1"])
def test_a_full_card_is_called_full_and_auto_does_not_fall_back(machine: Machine, asked: str) -> None:
    machine(2, fails=OUT)
    with pytest.raises(UserError, match=f"machine.device is '{asked}', and its memory is full: end what else"):
        hardware.find(asked)


def test_the_gpu_that_is_meant_is_asked_what_it_can(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one is older."""
    machine(2)
    current = torch.device("cuda:0")

    @contextmanager
    def using(device: torch.device):
        nonlocal current
        before, current = current, device
        yield
        current = before

    monkeypatch.setattr(torch.cuda, "device", using)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: current.index == 1)
    found = {asked: choose(runs.machine(asked), "auto").dtype for asked in ("cuda:0", "cuda:1", "cpu")}
    assert found == {"cuda:0": torch.float32, "cuda:1": torch.bfloat16, "cpu": torch.float32}


def test_the_peak_of_a_gpu_stands_among_the_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with runs.inside(tmp_path):
        spec = runs.planned(tmp_path)["baseline"]
        DATA.parent.mkdir(parents=True)
        prepare(params.read(Path("params.yaml")).data, tmp_path, 0, DATA)
        write_specs({"machine": MachineSpec(**runs.SMALL["machine"], state_every=20)}, Path("plan"))
        learn(spec)
        assert "peak_gpu_bytes" not in node.read_numbers("baseline")["cost"]
        monkeypatch.setattr(hardware, "peak", lambda device: {"peak_gpu_bytes": 7})
        learn(spec)
        assert node.read_numbers("baseline")["cost"]["peak_gpu_bytes"] == 7


def test_metrics_tell_the_peak_of_a_gpu_and_none_of_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 100 * (1 + device.index))
    assert hardware.peak(torch.device("cuda:1")) == {"peak_gpu_bytes": 200}
    assert hardware.peak(torch.device("cpu")) == {}
