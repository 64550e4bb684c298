"""What the type of computing costs on this device, and what torch.compile would save of a step.

In bfloat16 layers compute under autocast, with channels last; weights and losses stay float32.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import world
from benchmarks.measure import Figure, interleaved, ratio
from pipeline.training.device import Device

TYPES = ("float32", "bfloat16")


def measure(folder: Path, tiny: bool) -> list[Figure]:
    """Supervised epochs and a teacher's forward passes in each type; a step that torch.compile made."""
    devices = {name: world.device(name) for name in TYPES}
    found = []
    for case in world.cases(folder, tiny):
        arms = {name: world.epochs(case.training(on)).__next__ for name, on in devices.items()}
        found.append(ratio(f"{case.name}: epoch in bfloat16 ÷ float32", interleaved(arms, case.rounds), *TYPES[::-1]))
    depth, batch, rounds = (8, 4, 1) if tiny else (110, 128, 9)
    data = world.images(folder, batch)
    teacher = {"family": "residual", "depth": depth, "width": 16}
    arms = {
        name: world.forwards(on.forward(world.network(data, teacher, on)), data, batch, on)
        for name, on in devices.items()
    }
    found.append(ratio(f"ResNet-{depth}: forward in bfloat16 ÷ float32", interleaved(arms, rounds), *TYPES[::-1]))
    depth, backend = (8, "eager") if tiny else (20, "inductor")  # to compile takes a minute, and shows no more
    student = {"family": "residual", "depth": depth, "width": 16}
    for name, on in devices.items():
        plain, other = (world.network(data, student, on).train().requires_grad_(True) for _ in range(2))
        compiled: Any = torch.compile(other, backend=backend)
        arms = {"compiled": step(compiled, other, on, batch), "plain": step(plain, plain, on, batch)}
        began = time.perf_counter()
        arms["compiled"]()
        note = f"the first step took {time.perf_counter() - began:.0f} s"
        seconds = interleaved(arms, rounds)
        figure = f"ResNet-{depth}: step by torch.compile ÷ without, {name}"
        found.append(ratio(figure, seconds, "compiled", "plain", note=note))
    return found


def step(
    run: Callable[[torch.Tensor], torch.Tensor], model: nn.Module, on: Device, batch: int, size: int = 32
) -> Callable[[], None]:
    """One supervised step on random images; `run` is the forward pass of `model`."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True)
    x_BCHW = on.layout(torch.randn(batch, 3, size, size, device=on.where))
    y_B = torch.randint(0, 10, (batch,), device=on.where)

    def once() -> None:
        with on.computing():
            z_BC = run(x_BCHW)
        loss = F.cross_entropy(z_BC.float(), y_B)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return once
