"""Networks, optimisers and random generators as one safetensors body, and back."""

import json
from collections.abc import Sequence
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim import Optimizer

RANDOM = "random.cpu"
RANDOM_DEVICE = "random.cuda"


def encode(learner: nn.Module, optimizers: Sequence[Optimizer], losses: Tensor, facts: dict[str, Any]) -> bytes:
    """Everything that training needs to go on: all tensors, the generators, and JSON facts such as the epoch.

    `losses` lie on the device that computes.
    """
    tensors = {f"learner.{name}": tensor for name, tensor in learner.state_dict().items()}
    for number, optimizer in enumerate(optimizers):
        for index, slots in optimizer.state_dict()["state"].items():
            for name, value in slots.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{number}.{index}.{name}"] = value
    tensors["losses"] = losses
    tensors[RANDOM] = torch.get_rng_state()
    if losses.is_cuda:
        tensors[RANDOM_DEVICE] = torch.cuda.get_rng_state(losses.device)
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # Keys stay in their order: they are the columns of the curve.
    return save(whole, {"facts": json.dumps(facts)})


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
        optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    losses.copy_(tensors["losses"])
    torch.set_rng_state(tensors[RANDOM])
    if RANDOM_DEVICE in tensors:
        torch.cuda.set_rng_state(tensors[RANDOM_DEVICE], losses.device)


def _beside(parameter: Tensor, slot: Tensor) -> Tensor:
    """What the optimiser keeps of a parameter, laid out in memory as that is.

    A fused optimiser walks through the memory of both: of a slot in another order it takes other entries.
    """
    return slot if slot.shape != parameter.shape else torch.empty_like(parameter).copy_(slot)
