"""The last layer of a network that we did not write, so that what it reads can be tapped."""

from typing import Any

from torch import Tensor, nn

EMBEDDING = "embedding"


class Head(nn.Linear):
    """The last linear layer; its input passes through `embedding`, so that it can be tapped."""

    def __init__(self, linear: nn.Module) -> None:
        assert isinstance(linear, nn.Linear)
        super().__init__(linear.in_features, linear.out_features)
        self.weight, self.bias = linear.weight, linear.bias
        self.embedding = nn.Identity()

    def forward(self, input: Tensor) -> Tensor:
        """(B, D) features to (B, classes) logits."""
        return super().forward(self.embedding(input))


class ConvHead(nn.Conv2d):
    """A last layer that is a 1x1 convolution of maps of one pixel; `embedding` has them flat."""

    def __init__(self, convolution: nn.Module) -> None:
        assert isinstance(convolution, nn.Conv2d)
        super().__init__(convolution.in_channels, convolution.out_channels, 1)
        self.weight, self.bias = convolution.weight, convolution.bias
        self.embedding = nn.Identity()

    def forward(self, input: Tensor) -> Tensor:
        """(B, D, 1, 1) features to (B, classes, 1, 1) logits."""
        return super().forward(self.embedding(input.flatten(1)).unflatten(1, (-1, 1, 1)))


def tap_head(model: nn.Module, name: str) -> str:
    """Put a tapped layer in the place of the last layer `name`, with its weights; returns the path of `embedding`."""
    old = model.get_submodule(name)
    head = Head(old) if isinstance(old, nn.Linear) else ConvHead(old)
    model.set_submodule(name, head)
    # Of parts in a row it would be one more part.
    if not hasattr(model, EMBEDDING) and type(model).forward is not nn.Sequential.forward:
        model.embedding = head.embedding
        return EMBEDDING
    return f"{name}.{EMBEDDING}"


def is_head(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> bool:
    """Whether it is of a kind that can be the last layer, and gave one vector an image."""
    if not (inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor)):
        return False
    if isinstance(module, nn.Linear):
        return output.dim() == 2
    return isinstance(module, nn.Conv2d) and module.groups == 1 and inputs[0].shape[2:] == output.shape[2:] == (1, 1)
