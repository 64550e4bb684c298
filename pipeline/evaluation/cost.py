"""What a network costs: parameters, operations, bytes, time."""

import statistics
import time
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from inspect import unwrap
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

WARM_UP = 5  # runs before the clock starts: the first ones choose kernels and fill caches
PATIENCE = 3.0  # seconds after which slow things are not run more often than they must be
FEWEST = 5
CHUNK = 1 << 20


def parameters(model: nn.Module) -> int:
    """Number of parameters, trained or frozen, shared ones once; buffers (batch norm's statistics) not."""
    return sum(parameter.numel() for parameter in model.parameters())


def flops(model: nn.Module, channels: int, size: int) -> int:
    """Floating-point operations for one image (1, channels, size, size), a multiply-add counting as two.

    Convolutions, matrix products, recurrent layers and attention are counted; normalisation, activations, pooling
    and distances are not. Any device and any precision give the same figure. The model is left as it was.
    """
    return _counted(model, channels, size).total


def flops_by_layer(model: nn.Module, channels: int, size: int, layers: Collection[str]) -> dict[str, int]:
    """Those of `flops` that each of some modules takes, of the ones that are called: a network may read the weights of
    others by itself."""
    found: dict[str, int] = {}

    def counting(name: str, counter: _Operations) -> Iterator[RemovableHandle]:
        def begin(*_: object) -> None:
            found[name] = found.get(name, 0) - counter.total

        def end(*_: object) -> None:
            found[name] += counter.total

        module = model.get_submodule(name)
        yield module.register_forward_pre_hook(begin)
        yield module.register_forward_hook(end)

    counter = _Operations()
    handles = [handle for name in layers for handle in counting(name, counter)]
    try:
        _counted(model, channels, size, counter)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _counted(model: nn.Module, channels: int, size: int, counter: "_Operations | None" = None) -> "_Operations":
    """What has seen a pass of one image."""
    some = next(model.parameters())
    x_BCHW = torch.zeros(1, channels, size, size, device=some.device, dtype=some.dtype)
    training = {module: module.training for module in model.modules()}
    counter = counter or _Operations()
    try:
        model.eval()
        with torch.no_grad(), _unfused(), counter:
            model(x_BCHW)
    finally:
        for module, mode in training.items():
            module.training = mode
    return counter


@contextmanager
def _unfused() -> Iterator[None]:
    """Compute attention, encoder layers and recurrent layers as the matrix products that they are made of.

    Each kind of device has its own fused operations for them, of which torch's counter knows some.
    """
    cuda, mha = torch.backends.cuda, torch.backends.mha
    switches: list[tuple[Callable[[], bool], Callable[[bool], object], bool]] = [
        (cuda.math_sdp_enabled, cuda.enable_math_sdp, True),  # these four hold for the CPU, too
        (cuda.flash_sdp_enabled, cuda.enable_flash_sdp, False),
        (cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp, False),
        (cuda.cudnn_sdp_enabled, cuda.enable_cudnn_sdp, False),
        (mha.get_fastpath_enabled, mha.set_fastpath_enabled, False),
        *(
            (partial(getattr, library, "enabled"), partial(setattr, library, "enabled"), False)
            for library in (torch.backends.mkldnn, torch.backends.cudnn)  # their `flags` would set TF32, too
        ),
    ]
    before = [read() for read, _, _ in switches]
    try:
        for _, switch, value in switches:
            switch(value)
        yield
    finally:
        for (_, switch, _), value in zip(switches, before, strict=True):
            switch(value)


def _product(a: Tensor, b: Tensor) -> int:
    """a (.., K) by b (K) or (K, N)."""
    return 2 * a.numel() * (b.shape[1] if b.ndim > 1 else 1)


# What torch's counter leaves out, by name: products with a vector, and those that one kind of device fuses.
PRODUCTS: dict[str, Callable[..., int]] = {
    "aten.dot": lambda a, b, **_: _product(a, b),
    "aten.mv": lambda a, b, **_: _product(a, b),
    "aten.addmv": lambda _, a, b, **__: _product(a, b),
    "aten.addbmm": lambda _, a, b, **__: a.shape[0] * _product(a[0], b[0]),
    "aten._int_mm": lambda a, b, **_: _product(a, b),
    "aten._addmm_activation": lambda _, a, b, **__: _product(a, b),
    "aten.linear": lambda x, weight, *_, **__: _product(x, weight.T),
    # Of a bilinear layer: the outer product of x and y (each with a dimension more) is not stored.
    "aten._trilinear": lambda x, weight, y, *_, out_val: 2 * out_val.numel() * x.shape[-1] * y.shape[-1],
    "torchvision.deform_conv2d": lambda x, weight, *_, out_val: 2 * out_val.numel() * weight[0].numel(),
}


class _Operations(TorchDispatchMode):
    """Adds up what torch's flop counter, or else `PRODUCTS`, says of each operation that runs.

    Its own mode, and this one unless unwrapped, imports torch.compile: a second of computing for each stage.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Here, as it takes a tenth of a second, which only stages that measure should pay.
        from torch.utils.flop_counter import flop_registry

        found = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        if count := flop_registry.get(packet) or PRODUCTS.get(str(packet)):
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
