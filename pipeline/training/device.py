"""The device, and how a forward pass runs on it: precision, memory layout, threads, room."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.models.shown import Show
from pipeline.training.exactness import environment, fix_kernels
from pipeline.training.hardware import find, has_bfloat16

if TYPE_CHECKING:
    # The type only: what a spec holds decides a result, not how it is read.
    from pipeline.planning.specs.machine import MachineSpec

SHARE = 0.2  # of a GPU's free memory, for each of the three things that are kept on it, images twice and labels
HOST_BYTES = 2 << 30  # the same where the memory is the machine's own, which keeps what it read of files anyway


@dataclass(frozen=True)
class Device:
    """Where tensors live and in which type layers compute; with `tf32` a GPU's products of float32 are shortened.

    memory_format: how images lie in memory, as torch calls it; `auto` is channels last but in float32 on a CPU.
    """

    where: torch.device
    dtype: torch.dtype
    tf32: bool = False
    memory_format: str = "auto"

    def place(self, model: nn.Module) -> nn.Module:
        """Move a model here, in the memory layout that is fastest here."""
        if self.channels_last:
            model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return model.to(self.where)

    def computing(self) -> AbstractContextManager[Any]:
        """Autocast to the compute type; nothing in float32."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.where.type, dtype=self.dtype)

    def forward(self, model: nn.Module, show: Show | None = None) -> Callable[[Tensor], Tensor]:
        """A function x_BCHW -> float32 logits z_BC that runs `model` as it runs here, on what `show` makes of views."""

        def run(x_BCHW: Tensor) -> Tensor:
            if show is not None:
                x_BCHW = show(x_BCHW)
            with self.computing():
                return model(self.layout(x_BCHW)).float()

        return run

    def layout(self, x_BCHW: Tensor) -> Tensor:
        """The images in the memory layout that is fastest here."""
        return x_BCHW.contiguous(memory_format=torch.channels_last) if self.channels_last else x_BCHW

    @property
    def channels_last(self) -> bool:
        """Whether images lie in memory with channels last."""
        return self._automatic if self.memory_format == "auto" else self.memory_format == "channels_last"

    @property
    def _automatic(self) -> bool:
        return self.where.type == "cuda" or self.dtype != torch.float32

    @property
    def name(self) -> str:
        """What computes: the card's name, else cpu or mps."""
        return torch.cuda.get_device_name(self.where) if self.where.type == "cuda" else self.where.type

    @property
    def compute_type(self) -> str:
        """The compute type's name, e.g. float32."""
        return str(self.dtype).removeprefix("torch.")

    def room(self) -> int:
        """Bytes that one more thing may take to stay here as long as a stage runs."""
        if self.where.type != "cuda":
            return HOST_BYTES
        free, _ = torch.cuda.mem_get_info(self.where)
        # What torch holds and does not use is free, too.
        unused = torch.cuda.memory_reserved(self.where) - torch.cuda.memory_allocated(self.where)
        return int(SHARE * (free + unused))

    def seconds_since(self, started: float) -> float:
        """Seconds from `started`, of `time.perf_counter`, to when all that was asked of the device is done."""
        if self.where.type == "cuda":
            torch.cuda.synchronize(self.where)
        return time.perf_counter() - started

    def describe(self) -> dict[str, Any]:
        """What decides the last bits of a result besides its spec."""
        return {
            "torch": torch.__version__.split("+")[0],
            "device": self.name,
            "precision": "tf32" if self.tf32 else self.compute_type,
            # Named where it was asked for alone, so that what was saved before it could be is found again.
            **({} if self.channels_last == self._automatic else {"channels last": self.channels_last}),
            **environment(self.where),
        }


def choose(machine: MachineSpec, precision: str) -> Device:
    """The device that the params ask for; `auto` takes a GPU where there is one, and bfloat16 on it.

    Raises:
        UserError: As of `hardware.find`.
    """
    if machine.threads:
        torch.set_num_threads(machine.threads)
    device = find(machine.device)
    tf32 = precision == "tf32"
    if device.type == "cuda":
        fix_kernels(tf32)
    if tf32 and not (device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)):
        raise UserError(
            f"params.yaml: machine.precision is tf32, which {device} does not have: use float32, or a GPU that has it"
        )
    if precision == "auto":
        precision = "bfloat16" if has_bfloat16(device) else "float32"
    shorter = {"bfloat16": torch.bfloat16, "float16": torch.float16}
    return Device(device, shorter.get(precision, torch.float32), tf32, machine.memory_format)
