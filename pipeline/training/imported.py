"""An optimiser that params.yaml names by its import path, such as torch.optim.RAdam or lion.Lion.

It is taken where it goes on exactly after a stop: that is tried on a small matrix before anything is trained.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pipeline.base.errors import UserError
from pipeline.config.extension import OPTIMIZERS
from pipeline.config.section import unknown
from pipeline.training.snapshot import Snapshot, collect, restore

WARM = 3  # steps before the state is saved, and after
HANDED = ("params", "lr")


def imported(name: str, parameters: Sequence[Any], lr: float, settings: Mapping[str, Any]) -> Optimizer:
    """The optimiser over parameters, or groups of them, with those of the settings that it takes.

    Raises:
        UserError: There is no such class, it takes other arguments, or its state cannot be saved whole.
    """
    kind = _found(name)
    arguments = _arguments(name, kind, settings)
    if isinstance(parameters[0], dict) and any("weight_decay" in group for group in parameters):
        _check_takes(name, kind, "weight_decay", "recipe.decay_norms is false")
    try:
        _check_resumes(name, kind, lr, arguments)
        return kind(parameters, lr=lr, **arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"recipe.optimizer {name}: {error}") from None


def version(name: str) -> str:
    """The library that a path leads into, with its version, for the environment of what is saved."""
    library = name.split(".")[0]
    try:
        return f"{library} {metadata.version(library)}"
    except metadata.PackageNotFoundError:
        return library


def _found(name: str) -> Callable[..., Optimizer]:
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"recipe.optimizer is {name!r}, which cannot be imported ({error}): name one of "
            f"{', '.join(OPTIMIZERS.names())}, or a class of a module that is installed or lies in the repository"
        ) from None
    if not (isinstance(found, type) and issubclass(found, Optimizer)):
        raise UserError(f"recipe.optimizer is {name!r}, which is no subclass of torch.optim.Optimizer")
    return found


def _arguments(name: str, kind: Callable[..., Optimizer], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that it takes. What only our own optimisers take may be there, too: a recipe inherits it."""
    taken = [each for each in inspect.signature(kind).parameters if each not in HANDED]
    ours = {key for own in OPTIMIZERS.names() for key in OPTIMIZERS.settings(own).model_fields}
    for key in settings:
        if key not in taken and key not in ours:
            raise UserError(f"recipe of optimizer {name}: {unknown('key', key, taken)}")
    # YAML has no tuples, such as Adam's betas.
    plain = {key: tuple(each) if isinstance(each, list) else each for key, each in settings.items()}
    return {key: each for key, each in plain.items() if key in taken}


def _check_takes(name: str, kind: Callable[..., Optimizer], argument: str, where: str) -> None:
    if argument not in inspect.signature(kind).parameters:
        raise UserError(f"recipe.optimizer {name} has no {argument}, and {where}: leave that out")


def _check_resumes(name: str, kind: Callable[..., Optimizer], lr: float, arguments: Mapping[str, Any]) -> None:
    """Refuse an optimiser that goes another way once its state was saved and loaded."""
    with torch.random.fork_rng([]):
        whole = _Trial(kind, lr, arguments)
        whole.steps(WARM)
        snapshot = Snapshot(torch.device("cpu"))
        losses = torch.zeros(1)
        snapshot.take(collect(whole.module, [whole.optimizer], losses), {})
        body = b"".join(bytes(part) for part in snapshot.body())
        whole.steps(WARM)
        resumed = _Trial(kind, lr, arguments)
        restore(body, resumed.module, [resumed.optimizer], losses)
        resumed.steps(WARM)
    if not torch.equal(whole.weight, resumed.weight):
        raise UserError(
            f"recipe.optimizer {name} keeps something outside of its state_dict, so that a training that was stopped "
            "would go on another way: keep it with each parameter, or in the parameter groups"
        )


class _Trial:
    """A matrix that learns."""

    def __init__(self, kind: Callable[..., Optimizer], lr: float, arguments: Mapping[str, Any]) -> None:
        self.module = nn.Linear(3, 4, bias=False)
        nn.init.constant_(self.module.weight, 0.5)
        self.optimizer = kind([self.module.weight], lr=lr, **arguments)
        self.step = 0

    @property
    def weight(self) -> Tensor:
        """As it is now."""
        return self.module.weight.detach()

    def steps(self, count: int) -> None:
        """Steps along gradients that differ from one to the next and follow from the weight."""
        for _ in range(count):
            self.step += 1
            self.module.weight.grad = self.weight.cos() + torch.arange(12.0).view(4, 3) / 12
            self.optimizer.step()
