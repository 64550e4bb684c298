"""What the device did in some steps: kernels that were launched, and how long it was busy."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile

from pipeline.training.loop import Training


@dataclass(frozen=True)
class Work:
    """Of one step: kernels, and seconds in which at least one of them, or a copy, ran."""

    launches: float
    busy: float


def device_work(of: Training, steps: int) -> Work | None:
    """What a step of the current epoch asks of the GPU; None where the profiler sees none.

    Only the device's side is recorded, which hardly slows the host. The first profile loads the profiler and is thrown
    away.
    """
    running = of.epoch()
    next(running)
    for count in (1, steps):
        torch.cuda.synchronize()
        with profile(activities=[ProfilerActivity.CUDA]) as found:
            for _ in range(count):
                next(running)
            torch.cuda.synchronize()
    # Ranges that somebody named are drawn on the device's line, too.
    events = [
        event
        for event in found.events() or ()
        if event.device_type.name == "CUDA" and not getattr(event, "is_user_annotation", False)
    ]
    kernels = sum(not event.name.startswith(("Memcpy", "Memset")) for event in events)
    if not kernels:
        return None
    spans = [(event.time_range.start, event.time_range.end) for event in events]
    return Work(kernels / steps, covered(spans) / 1e6 / steps)


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of time that some spans (begin, end) cover together: what runs side by side counts once."""
    whole, until = 0.0, float("-inf")
    for begin, end in sorted(spans):
        whole += max(0.0, end - max(begin, until))
        until = max(until, end)
    return whole
