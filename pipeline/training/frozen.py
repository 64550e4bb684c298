"""What a layer is made from: the weights below it, for freezing them, and for a learning rate by depth.

Found by running the network, not by the order in which it names its parts.

Legend: B batch, C channels, H = W edge in pixels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.models.taps import tapped

Parameters = list[nn.Parameter]


def made_from(model: nn.Module, layers: Sequence[str], x_BCHW: Tensor) -> list[Parameters]:
    """For each layer the parameters, of those that learn, from which its output follows."""
    learning = [each for each in model.parameters() if each.requires_grad]
    model.eval()
    with tapped(model, layers) as outputs:
        model(x_BCHW)
    found: list[Parameters] = []
    for layer in layers:
        gradients: Sequence[Tensor | None] = [None] * len(learning)
        if outputs[layer].requires_grad:
            total = outputs[layer].float().sum()
            gradients = torch.autograd.grad(total, learning, retain_graph=True, allow_unused=True)
        found.append([own for own, gradient in zip(learning, gradients, strict=True) if gradient is not None])
    return found


def levels(model: nn.Module, x_BCHW: Tensor) -> list[Parameters]:
    """The parameters that learn, from those next to the images to those of the head.

    A level ends where the network's own `taps` do: its stages or blocks, and what comes before the head. One without
    weights of its own is none.
    """
    taps: Sequence[str] = model.taps  # pyright: ignore[reportAssignmentType]
    placed: set[int] = set()
    found: list[Parameters] = []
    everything = [each for each in model.parameters() if each.requires_grad]
    for parameters in [*made_from(model, taps, x_BCHW), everything]:
        found.append([each for each in parameters if id(each) not in placed])
        placed |= {id(each) for each in parameters}
    return [each for each in found if each]


def freeze(model: nn.Module, layer: str, x_BCHW: Tensor) -> list[nn.Module]:
    """Freeze all weights that a layer's output follows from; return the modules that then stay in evaluation mode.

    Those are all that are done when the layer is, and have no weight that learns: BatchNorm keeps its statistics there,
    and dropout is off. A module that is used again above the layer is none of them.

    Raises:
        UserError: There is no such layer, nothing is below it, or nothing that learns is left.
    """
    done: list[nn.Module] = []

    def note(module: nn.Module, *_: object) -> None:
        done.append(module)

    hooks = [each.register_forward_hook(note) for each in model.modules()]
    try:
        (below,) = made_from(model, [layer], x_BCHW)
    finally:
        for hook in hooks:
            hook.remove()
    if not below:
        raise UserError(f"recipe.freeze is {layer!r}, and no weight that learns is below it: name a later layer")
    for parameter in below:
        parameter.requires_grad_(False)
    if not any(each.requires_grad for each in model.parameters()):
        raise UserError(
            f"recipe.freeze is {layer!r}, which leaves no weight to learn: name an earlier layer, such as embedding"
        )
    first = done.index(model.get_submodule(layer))
    above = {id(each) for each in done[first + 1 :]}
    return [
        each
        for each in done[: first + 1]
        if id(each) not in above and not any(own.requires_grad for own in each.parameters())
    ]
