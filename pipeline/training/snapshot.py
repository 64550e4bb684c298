"""Networks, optimisers and random generators as one safetensors body, and back."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.optim import Optimizer

from pipeline.base.errors import UserError

RANDOM = "random.cpu"
RANDOM_DEVICE = "random.cuda"
# As safetensors names them.
TYPES = {
    torch.float64: "F64",
    torch.int64: "I64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def collect(learner: nn.Module, optimizers: Sequence[Optimizer], losses: Tensor) -> dict[str, Tensor]:
    """All tensors that training needs to go on, the generators among them.

    `losses` lie on the device that computes. What an optimiser keeps beside tensors is one of bytes, as JSON.

    Raises:
        UserError: An optimiser keeps what can be saved in neither way.
    """
    tensors = {f"learner.{name}": tensor for name, tensor in learner.state_dict().items()}
    for number, optimizer in enumerate(optimizers):
        content = optimizer.state_dict()
        others: dict[int, dict[str, Any]] = {}
        for index, slots in content["state"].items():
            if not isinstance(index, int):
                raise UserError(
                    f"{type(optimizer).__name__} keeps {index!r} apart from its parameters, where it cannot be saved: "
                    "keep it with each parameter, or in the parameter groups"
                )
            for name, value in slots.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{number}.{index}.{name}"] = value
                else:
                    others.setdefault(index, {})[name] = value
        groups = [{key: value for key, value in each.items() if key != "params"} for each in content["param_groups"]]
        record = json.dumps(_pack({"state": others, "groups": groups}, type(optimizer).__name__))
        tensors[f"optimizer.{number}"] = torch.frombuffer(bytearray(record.encode()), dtype=torch.uint8)
    tensors["losses"] = losses
    tensors[RANDOM] = torch.get_rng_state()
    if losses.is_cuda:
        tensors[RANDOM_DEVICE] = torch.cuda.get_rng_state(losses.device)
    return tensors


class Snapshot:
    """A copy in the host's memory of what training needs to go on; the next copy takes the same memory.

    On a GPU the memory is pinned and nobody waits for the copy but who reads it: the device makes it in the order of
    its work, after the steps that were asked for before and ahead of those that come after. (In a stream of its own
    it would be torn by the next step, or need room on the device for a second state.)

    Args:
        device: Where the tensors lie.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._device = device
        self._memory = torch.empty(0, dtype=torch.uint8)
        self._header = b""
        self._size = 0
        self._copied = torch.cuda.Event() if self._on_gpu else None

    def take(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Copy all tensors, and JSON facts such as the epoch. What `body` gave before is overwritten."""
        self._size = sum(tensor.nbytes for tensor in tensors.values())
        if self._memory.numel() < self._size:
            self._memory = torch.empty(self._size, dtype=torch.uint8, pin_memory=self._on_gpu)
        # Keys stay in their order: they are the columns of the curve.
        entries: dict[str, Any] = {"__metadata__": {"facts": json.dumps(facts)}}
        start = 0
        # The widest types first, so that each tensor lies where its type may.
        for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].itemsize):
            end = start + tensor.nbytes
            self._memory[start:end].view(tensor.dtype).view(tensor.shape).copy_(tensor.detach(), non_blocking=True)
            entries[name] = {"dtype": TYPES[tensor.dtype], "shape": [*tensor.shape], "data_offsets": [start, end]}
            start = end
        if self._copied is not None:
            self._copied.record(torch.cuda.current_stream(self._device))
        header = json.dumps(entries).encode()
        header += b" " * (-len(header) % 8)
        self._header = len(header).to_bytes(8, "little") + header

    def body(self) -> tuple[bytes, memoryview]:
        """The safetensors file of what was copied, in two parts, once the copy is made. No byte is copied again."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._header, self._memory[: self._size].numpy().data


def restore(body: bytes, learner: nn.Module, optimizers: Sequence[Optimizer], losses: Tensor) -> None:
    """Put everything back in its place, `losses` included."""
    tensors = load(body)
    prefix = "learner."
    learner.load_state_dict({k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)})
    for number, optimizer in enumerate(optimizers):
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        slots: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            if key.startswith(f"optimizer.{number}."):
                _, _, index, name = key.split(".", 3)
                slots.setdefault(int(index), {})[name] = _beside(parameters[int(index)], tensor)
        record = tensors.get(f"optimizer.{number}")  # none of a release that saved tensors alone
        others = _unpack(json.loads(record.numpy().tobytes())) if record is not None else {"state": {}, "groups": []}
        groups = optimizer.state_dict()["param_groups"]
        for group, saved in zip(groups, others["groups"], strict=False):
            group.update(saved)
        optimizer.load_state_dict({"state": slots, "param_groups": groups})
        for index, saved in slots.items():
            now = optimizer.state[parameters[index]]
            # Torch gives each the type of its parameter.
            now.update(
                {name: each.to(now[name].device) for name, each in saved.items() if each.dtype != now[name].dtype}
            )
        for index, saved in others["state"].items():
            optimizer.state[parameters[index]].update(saved)
    losses.copy_(tensors["losses"])
    torch.set_rng_state(tensors[RANDOM])
    if RANDOM_DEVICE in tensors:
        torch.cuda.set_rng_state(tensors[RANDOM_DEVICE], losses.device)


def _pack(value: Any, where: str) -> Any:
    """Plain values as JSON of which `_unpack` makes the same again: types, order of keys and all bits of a number."""
    match value:
        case None | bool() | int() | float() | str() if type(value) in (type(None), bool, int, float, str):
            return value
        case list() | tuple() if type(value) in (list, tuple):
            return {type(value).__name__: [_pack(each, f"{where}[{i}]") for i, each in enumerate(value)]}
        case dict() if type(value) is dict:
            return {"dict": [[_pack(key, where), _pack(each, f"{where}.{key}")] for key, each in value.items()]}
    raise UserError(
        f"{where} is of type {type(value).__name__}, which saved training cannot hold: "
        "an optimiser may keep tensors of a parameter, and plain numbers, texts, lists, tuples and dicts"
    )


def _unpack(packed: Any) -> Any:
    if not isinstance(packed, dict):
        return packed
    ((kind, items),) = packed.items()
    if kind == "dict":
        return {_unpack(key): _unpack(each) for key, each in items}
    return (tuple if kind == "tuple" else list)(_unpack(each) for each in items)


def _beside(parameter: Tensor, slot: Tensor) -> Tensor:
    """What the optimiser keeps of a parameter, laid out in memory as that is.

    A fused optimiser walks through the memory of both: of a slot in another order it takes other entries.
    """
    return slot if slot.shape != parameter.shape else torch.empty_like(parameter, dtype=slot.dtype).copy_(slot)
