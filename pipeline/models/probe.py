"""What a network that was not made for us has where ours have `taps`: found by one forward pass.

`find_taps` alone decides what is tapped of such a network; `with_taps` puts its finding into the network.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError


class Head(nn.Linear):
    """The last linear layer; its input passes through `embedding`, so that it can be tapped."""

    def __init__(self, linear: nn.Module) -> None:
        assert isinstance(linear, nn.Linear)
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None)
        self.weight, self.bias = linear.weight, linear.bias
        self.embedding = nn.Identity()

    def forward(self, input: Tensor) -> Tensor:
        """(B, D) features to (B, classes) logits."""
        return super().forward(self.embedding(input))


def with_taps(model: nn.Module, taps: tuple[str, ...], last: str) -> nn.Module:
    """The network with `taps`: those, then the input of its last linear layer, whose name is `last`.

    It is called `embedding`, unless the network has something of that name.
    """
    head = Head(model.get_submodule(last))
    if not last:
        model = nn.Sequential(head)
        last = "0"
    model.set_submodule(last, head)
    embedding = f"{last}.embedding"
    if not hasattr(model, "embedding"):
        if type(model).forward is nn.Sequential.forward:
            model.__class__ = type(type(model).__name__, (_Row, type(model)), {})
        model.embedding = head.embedding
        embedding = "embedding"
    model.taps = (*taps, embedding)  # pyright: ignore[reportArgumentType] a plain attribute
    return model


class _Row(nn.Sequential):
    """Parts in a row, beside which `embedding` only names a part of one of them."""

    def forward(self, input: Tensor) -> Tensor:
        for name, part in self.named_children():
            if name != "embedding":
                input = part(input)
        return input


def find_taps(
    model: nn.Module,
    channels: int,
    size: int,
    where: str,
    explain: Callable[[Exception], str] | None = None,
) -> tuple[tuple[str, ...], str]:
    """One forward pass: names of the last modules at each resolution, and of the last linear layer.

    Residual networks name their stages themselves. Elsewhere it is the last of the least nested modules
    (a block rather than a layer inside the next). Maps of one pixel do not count, as they hold no place
    and squeeze-and-excitation makes them everywhere; nor does adaptive pooling, which may enlarge.

    Args:
        model: In training mode, in which it is left.
        channels, size: Of its images.
        where: The key of params.yaml that names it, and its name.
        explain: What an error of its own code is called, with its place; None where its code is of a library.

    Raises:
        UserError: It does not run on such images, or ends in no linear layer.
    """
    ends: dict[int, str] = {}
    linear: list[str] = []

    def note(path: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(module, nn.Linear) and output.dim() == 2:
            linear.append(path)
        elif path and not isinstance(module, nn.AdaptiveAvgPool2d) and _is_map(output):
            edge = output.shape[-1]
            if edge not in ends or path.count(".") <= ends[edge].count("."):
                ends[edge] = path

    hooks = [module.register_forward_hook(partial(note, path)) for path, module in model.named_modules()]
    model.eval()
    try:
        with torch.no_grad():
            model(torch.zeros(1, channels, size, size))
    except Exception as error:  # of whatever class the network's own code raises
        what = explain(error) if explain else " ".join(str(error).split())
        raise UserError(
            f"{where} does not run on {channels}x{size}x{size} images ({what}): "
            "set data.size or input.size to what it was made for, or choose another network"
        ) from None
    finally:
        model.train()
        for hook in hooks:
            hook.remove()
    if not linear:
        raise UserError(f"{where} does not end in a linear layer: choose another network")
    stages = tuple(f"layer{number}" for number in (1, 2, 3, 4))
    own = all(hasattr(model, stage) for stage in stages)
    return stages if own else tuple(ends[edge] for edge in sorted(ends, reverse=True)), linear[-1]


def _is_map(output: Any) -> bool:
    """Whether it is a square feature map of more than one pixel."""
    return isinstance(output, Tensor) and output.dim() == 4 and 1 < output.shape[2] == output.shape[3]
