"""BatchNorm in short trainings: running statistics that keep up, and those of the last weights where they cannot.

Some networks come with a momentum of 0.01 (MobileNetV3) or less, for trainings of many thousand steps: after 160 steps
a fifth of what they normalise by is still what they were initialised with, in each layer, and they classify at chance.

Legend: B batch, C channels, H = W edge in pixels.
"""

from collections.abc import Callable, Collection, Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.base.errors import UserError

LARGEST = 0.1  # torch's own momentum
PART = 20  # running statistics are those of the last twentieth of the steps, or of fewer
REMAINS = 1e-4  # most of a layer's first statistics that may be left at the end; layers upon layers multiply what is


def norms_of(model: nn.Module) -> dict[str, _BatchNorm]:
    """The layers of a network that keep running statistics, by name."""
    named = model.named_modules()
    return {name: each for name, each in named if isinstance(each, _BatchNorm) and each.track_running_stats}


def raise_momentum(norms: Iterable[_BatchNorm], steps: int) -> float | None:
    """Raise each momentum to min(0.1, 20 / steps) where it is below; return that, None where none was below."""
    least = min(LARGEST, PART / steps)
    below = [each for each in norms if each.momentum is not None and each.momentum < least]
    for each in below:
        each.momentum = least
    return least if below else None


def are_too_few(norms: Iterable[_BatchNorm], steps: int) -> bool:
    """Whether after so many steps a momentum leaves too much of the statistics that a network started with."""
    return any(each.momentum is not None and (1 - each.momentum) ** steps > REMAINS for each in norms)


@torch.no_grad()
def estimate_again(norms: Iterable[_BatchNorm], forward: Callable[[Tensor], object], batches: Iterable[Tensor]) -> None:
    """Set running statistics to their mean over batches x_BCHW, of the weights as they are.

    norms: of the network that goes `forward`, which is in eval mode: nothing else of it moves.
    """
    momenta = {each: each.momentum for each in norms}
    for each in momenta:
        each.reset_running_stats()
        each.momentum = None  # torch's word for a mean over all batches
        each.train()
    for x_BCHW in batches:
        forward(x_BCHW)
    for each, momentum in momenta.items():
        each.momentum = momentum
        each.eval()


def check_single_images(model: nn.Module, x_1CHW: Tensor, frozen: Collection[nn.Module] = ()) -> None:
    """Refuse a network that cannot learn from a batch of one image; layers that do not learn are in evaluation mode.

    Raises:
        UserError: A BatchNorm layer would have one value per channel, of which there is no variance.
    """
    values: dict[nn.Module, int] = {}

    def note(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        values[norm] = inputs[0][0, 0].numel()

    norms = norms_of(model)
    hooks = [each.register_forward_pre_hook(note) for each in norms.values()]
    try:
        with torch.no_grad():
            model.eval()(x_1CHW)
    finally:
        for hook in hooks:
            hook.remove()
    if single := [name for name, each in norms.items() if values.get(each) == 1 and each not in frozen]:
        raise UserError(
            f"an epoch has a batch of one image, of which the BatchNorm layer {single[0]} has one value per channel "
            "and no variance: set recipe.batch_size to 3 or more"
        )
