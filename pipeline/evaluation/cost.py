"""What a network costs: parameters, operations, bytes, time."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

WARM_UP = 5  # runs before the clock starts: the first ones choose kernels and fill caches


def parameters(model: nn.Module) -> int:
    """Number of parameters, trained or frozen, shared ones once; buffers (batch norm's statistics) not."""
    return sum(parameter.numel() for parameter in model.parameters())


def flops(model: nn.Module, channels: int, size: int) -> int:
    """Floating-point operations for one image (1, channels, size, size), a multiply-add counting as two.

    Convolutions, matrix products and attention are counted; normalisation, activations and pooling are not.
    The model is left as it was.
    """
    # Here, as it takes a tenth of a second, which only stages that measure should pay.
    from torch.utils.flop_counter import FlopCounterMode

    some = next(model.parameters())
    x_BCHW = torch.zeros(1, channels, size, size, device=some.device, dtype=some.dtype)
    training = {module: module.training for module in model.modules()}
    counter = FlopCounterMode(display=False)
    try:
        model.eval()
        with torch.no_grad(), counter:
            model(x_BCHW)
    finally:
        for module, mode in training.items():
            module.training = mode
    return counter.get_total_flops()


def file_bytes(path: Path) -> int:
    """Size of a file on disk, or of all files in a folder, in bytes."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def latency_ms(forward: Callable[[Tensor], Tensor], x_BCHW: Tensor, repeats: int = 50) -> float:
    """Milliseconds that `forward` takes for x_BCHW, one image as a rule: the median of `repeats` runs.

    Each run is waited for, on a GPU too. The network is in eval mode.
    """
    times = []
    with torch.no_grad():
        for _ in range(WARM_UP + repeats):
            began = time.perf_counter()
            forward(x_BCHW)
            if x_BCHW.is_cuda:
                torch.cuda.synchronize(x_BCHW.device)
            times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times[WARM_UP:])
