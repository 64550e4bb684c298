"""What a network costs: parameters, operations, bytes, time."""

import statistics
import time
import zlib
from collections.abc import Callable, Sequence
from inspect import unwrap
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

WARM_UP = 5  # runs before the clock starts: the first ones choose kernels and fill caches
PATIENCE = 3.0  # seconds after which slow things are not run more often than they must be
FEWEST = 5
CHUNK = 1 << 20


def parameters(model: nn.Module) -> int:
    """Number of parameters, trained or frozen, shared ones once; buffers (batch norm's statistics) not."""
    return sum(parameter.numel() for parameter in model.parameters())


def flops(model: nn.Module, channels: int, size: int) -> int:
    """Floating-point operations for one image (1, channels, size, size), a multiply-add counting as two.

    Convolutions, matrix products and attention are counted; normalisation, activations and pooling are not.
    The model is left as it was.
    """
    some = next(model.parameters())
    x_BCHW = torch.zeros(1, channels, size, size, device=some.device, dtype=some.dtype)
    training = {module: module.training for module in model.modules()}
    counter = _Operations()
    try:
        model.eval()
        with torch.no_grad(), counter:
            model(x_BCHW)
    finally:
        for module, mode in training.items():
            module.training = mode
    return counter.total


class _Operations(TorchDispatchMode):
    """Adds up what torch's flop counter says of each operation that runs.

    Its own mode, and this one unless unwrapped, imports torch.compile: a second of computing for each stage.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Here, as it takes a tenth of a second, which only stages that measure should pay.
        from torch.utils.flop_counter import flop_registry

        found = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func._overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=found)
        return found


_Operations.__torch_dispatch__ = unwrap(_Operations.__torch_dispatch__)


def file_bytes(path: Path) -> int:
    """Size of a file on disk, or of all files in a folder, in bytes."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def compressed_bytes(path: Path) -> int:
    """Size that a file has once zlib has packed it as well as it can."""
    packer = zlib.compressobj(9)
    with path.open("rb") as file:
        size = sum(len(packer.compress(chunk)) for chunk in iter(lambda: file.read(CHUNK), b""))
    return size + len(packer.flush())


def latency_ms(forward: Callable[[Tensor], Tensor], x_BCHW: Tensor, repeats: int = 50) -> float:
    """Milliseconds that `forward` takes for x_BCHW, one image as a rule: the median of `repeats` runs.

    The network is in eval mode.
    """
    with torch.no_grad():
        return medians_ms([lambda: forward(x_BCHW)], repeats)[0]


def medians_ms(calls: Sequence[Callable[[], object]], repeats: int = 50) -> list[float]:
    """Milliseconds that each call takes: the median of `repeats` runs, the calls in turn, so that they compare.

    Each run is waited for, on a GPU too. After `PATIENCE` seconds, `FEWEST` runs of each have to do.
    """
    times: list[list[float]] = []
    start = time.perf_counter()
    while len(times) < WARM_UP + repeats:
        if len(times) >= WARM_UP + FEWEST and time.perf_counter() - start > PATIENCE:
            break
        times.append([_seconds(call) for call in calls])
    return [1000 * statistics.median(each) for each in zip(*times[WARM_UP:], strict=True)]


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    result = call()
    if isinstance(result, Tensor) and result.is_cuda:
        torch.cuda.synchronize(result.device)
    return time.perf_counter() - began
