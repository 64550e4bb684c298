"""Reading the outputs of inner layers during a forward pass.

A network may say how its layers are read (`reads`: layer to reading; maps turned, tokens laid out), and where one is
that goes by another name (`places`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.config.section import unknown


@contextmanager
def tapped(model: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Within the block, each forward pass fills the yielded dict: submodule name to its output, as it is read.

    Outputs carry gradients as the pass does; a second pass overwrites those of the first. A name that
    the model does not have, or whose output is not one tensor, is a `UserError`.
    """
    outputs: dict[str, Tensor] = {}
    handles = []
    reads: Mapping[str, Callable[[Any], Tensor]] = getattr(model, "reads", {})
    places: Mapping[str, str] = getattr(model, "places", {})
    try:
        for name in names:
            hook = partial(_keep, outputs, name, reads.get(name))
            handles.append(_submodule(model, places.get(name, name)).register_forward_hook(hook))
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _submodule(model: nn.Module, name: str) -> nn.Module:
    try:
        return model.get_submodule(name)
    except AttributeError:
        names = [name for name, _ in model.named_modules() if name]
        raise UserError(unknown("layer", name, names)) from None


def _keep(
    outputs: dict[str, Tensor],
    name: str,
    read: Callable[[Any], Tensor] | None,
    module: nn.Module,
    inputs: Any,
    output: Any,
) -> None:
    outputs[name] = read(output) if read else output
    if not isinstance(outputs[name], Tensor):
        raise UserError(f"layer {name!r} gives a {type(output).__name__}, not a tensor: tap another layer")


def shapes(model: nn.Module, channels: int, size: int) -> dict[str, torch.Size]:
    """Output shape, without the batch, of each tap of `model` in order, and of its `logits`."""
    names: tuple[str, ...] = model.taps  # pyright: ignore[reportAssignmentType]
    device = next(model.parameters()).device
    training = model.training
    with tapped(model.eval(), names) as outputs, torch.no_grad():
        logits = model(torch.zeros(1, channels, size, size, device=device))
    model.train(training)
    return {name: outputs[name].shape[1:] for name in names} | {"logits": logits.shape[1:]}
