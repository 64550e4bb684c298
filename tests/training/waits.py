"""What would make the host wait for a GPU, counted on a CPU.

A host runs ahead of a GPU until it asks for a number, for places that depend on the numbers, or for a copy. On a CPU
torch's profiler sees the first two, forward and backward; a device without data ("meta") shows the copies.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

WAITS = {
    "aten::_local_scalar_dense",  # item, bool, float of a tensor
    "aten::nonzero",  # and so a bool mask as an index
    "aten::masked_select",
    "aten::_unique2",
    "aten::equal",
}
COPIES = {"aten::_to_copy", "aten::copy_"}
# On a CPU it reads its scale as a number; its kernel for a GPU leaves it where it is.
ONLY_HERE = "aten::_fake_quantize_per_tensor_affine_cachemask_tensor_qparams"


def waits(work: Callable[[], object]) -> int:
    """How often `work` would wait."""
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as seen:
        work()
    return sum(event.name in WAITS and not _inside(event) for event in seen.events() or ())


def _inside(event: Any) -> bool:
    while event.cpu_parent is not None:
        event = event.cpu_parent
        if event.name == ONLY_HERE:
            return True
    return False


class Copies(TorchDispatchMode):
    """Counts copies between devices, and `small` ones within one: calls that each take as long as a large one."""

    def __init__(self) -> None:
        super().__init__()
        self.between = 0
        self.all = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func.name().partition(".")[0] in COPIES:
            source = args[1] if func.name().startswith("aten::copy_") else args[0]
            self.all += 1
            self.between += isinstance(source, Tensor) and source.device != made.device
        return made
