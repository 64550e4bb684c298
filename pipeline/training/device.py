"""The device, and how a forward pass runs on it: precision, memory layout, threads."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.training.hardware import find, has_bfloat16


@dataclass(frozen=True)
class Device:
    """Where tensors live and in which type layers compute."""

    where: torch.device
    dtype: torch.dtype

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

    def forward(self, model: nn.Module) -> Callable[[Tensor], Tensor]:
        """A function x_BCHW -> float32 logits z_BC that runs `model` as it runs here."""

        def run(x_BCHW: Tensor) -> Tensor:
            with self.computing():
                return model(self.layout(x_BCHW)).float()

        return run

    def layout(self, x_BCHW: Tensor) -> Tensor:
        """The images in the memory layout that is fastest here."""
        return x_BCHW.contiguous(memory_format=torch.channels_last) if self.channels_last else x_BCHW

    @property
    def channels_last(self) -> bool:
        """Whether images lie in memory with channels last: not in float32 on a CPU, whose bits it would change."""
        return self.where.type == "cuda" or self.dtype != torch.float32

    @property
    def compute_type(self) -> str:
        """The compute type's name, e.g. float32."""
        return str(self.dtype).removeprefix("torch.")

    def describe(self) -> dict[str, Any]:
        """What decides the last bits of a result besides its spec."""
        return {
            "torch": torch.__version__.split("+")[0],
            "device": torch.cuda.get_device_name(self.where) if self.where.type == "cuda" else self.where.type,
            "precision": self.compute_type,
            "threads": torch.get_num_threads(),
        }


def choose(machine: dict[str, Any], precision: str) -> Device:
    """The device that the params ask for; `auto` takes a GPU where there is one, and bfloat16 on it.

    Raises:
        UserError: As of `hardware.find`.
    """
    if machine["threads"]:
        torch.set_num_threads(machine["threads"])
    device = find(machine["device"])
    bfloat16 = has_bfloat16(device) if precision == "auto" else precision == "bfloat16"
    return Device(device, torch.bfloat16 if bfloat16 else torch.float32)
