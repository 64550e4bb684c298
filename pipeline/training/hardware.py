"""The device that params.yaml names: found, or what keeps it from being used; and what it can and was used for."""

import warnings
from typing import NoReturn

import torch

from pipeline.base import memory
from pipeline.base.errors import UserError
from pipeline.console.progress import log


class Broken(Exception):
    """There is a GPU, or there was one, and its driver does not work."""


def find(asked: str) -> torch.device:
    """The device that `machine.device` means; `auto` is a GPU where one works, and logs it where one does not.

    Raises:
        UserError: It is not here, its driver does not work, or its memory is full.
    """
    try:
        name = ("cuda" if _count() else "cpu") if asked == "auto" else asked
        return _tried(torch.device(name), asked)
    except Broken as error:
        if asked == "auto":
            log(f"machine.device is auto, and this runs on the CPU: the driver of the GPU does not work ({error})")
            return torch.device("cpu")
        _refuse(asked, f"and its driver does not work ({error}): fix it until nvidia-smi lists the GPU, or use cpu")


def has_bfloat16(device: torch.device) -> bool:
    """Whether it is a GPU that computes in bfloat16: an older one emulates it, slower."""
    if device.type != "cuda":
        return False
    with torch.cuda.device(device):  # torch asks the current one
        return torch.cuda.is_bf16_supported(including_emulation=False)


def peak(device: torch.device) -> dict[str, int]:
    """The most bytes that torch has held on a GPU in this process, as metrics name them; nothing of a CPU."""
    return {"peak_gpu_bytes": torch.cuda.max_memory_reserved(device)} if device.type == "cuda" else {}


def _tried(device: torch.device, asked: str) -> torch.device:
    """The device, on which something was allocated."""
    here = {
        "cuda": lambda: _count() > (device.index or 0),
        "mps": torch.backends.mps.is_available,
    }
    if device.type in here and not here[device.type]():
        _refuse(asked, "which this machine does not have: use auto or cpu")
    try:
        torch.empty(1, device=device)
    except RuntimeError as error:
        if memory.is_out(error):
            _refuse(asked, "and its memory is full: end what else computes there (nvidia-smi lists it), or use another")
        raise Broken(_first_line(error)) from None
    return device


def _count() -> int:
    """How many GPUs torch can use. A driver that does not work makes torch warn and count none, or raise."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        except RuntimeError as error:
            raise Broken(_first_line(error)) from None
    if caught and not count:
        raise Broken(_first_line(caught[0].message))
    return count


def _first_line(error: Warning | Exception | str) -> str:
    return str(error).strip().split("\n")[0]


def _refuse(asked: str, why: str) -> NoReturn:
    raise UserError(f"params.yaml: machine.device is {asked!r}, {why}")
