"""A convolution gives way to a cheap one that is first taught to imitate it.

The cheap one is a k x k convolution inside groups of channels, then a 1x1 convolution that mixes them
(Howard et al. 2017); with a channel a group, which is the default, it is depthwise-separable. It starts from
what is nearest to the old weights, and is then fitted to the old layer's outputs on training views.
"""

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.base.errors import UserError
from pipeline.config.numbers import Count, Positive
from pipeline.config.section import unknown
from pipeline.models.taps import tapped


@dataclass(frozen=True)
class Imitation:
    """What became of a layer.

    Attributes:
        name: The layer.
        start, error: Distance of the new layer's outputs to the old one's, relative to the norm of these, before
            and after it was fitted; on the first batch, which it was not fitted on.
        before, after: The layer's weights, biases apart.
    """

    name: str
    start: float
    error: float
    before: int
    after: int


def replace(
    model: nn.Module,
    batches: Iterable[Tensor],
    *,
    layer: str,
    groups: Count | None = None,
    lr: Positive = 0.003,
) -> tuple[nn.Module, Imitation]:
    """A copy of `model` with another `layer`, fitted by least squares with Adam, one step a batch.

    Args:
        model: Is run in eval mode, and left as it is.
        batches: Images x_BCHW as the model takes them, on its device: two batches or more.
        layer: Name of an ungrouped convolution with a kernel above 1x1.
        groups: Of the cheap convolution; None gives each channel its own.
        lr: Adam's, falling to zero along a cosine where the number of batches is known.

    Raises:
        UserError: There is no such layer, the groups do not divide its channels, or nothing would be saved.
    """
    model = copy.deepcopy(model)
    old = _convolution(model, layer)
    new = _cheap(old, _divided(old, layer, groups))
    before, after = old.weight.numel(), sum(weight.numel() for weight in new.parameters() if weight.dim() == 4)
    if after >= before:
        raise UserError(
            f"params.yaml, compress.steps: replace.groups {groups or old.in_channels}: layer {layer!r} has {before:,} "
            f"weights, the cheap one would have {after:,}: give more groups, or leave it"
        )
    training = model.training
    start, error = _fit(model, layer, new, batches, lr)
    model.set_submodule(layer, new)
    return model.train(training), Imitation(layer, start, error, before, after)


def _convolution(model: nn.Module, layer: str) -> nn.Conv2d:
    able = {
        name: module
        for name, module in model.named_modules()
        if type(module) is nn.Conv2d
        and module.groups == 1
        and math.prod(module.kernel_size) > 1
        and module.padding_mode == "zeros"
    }
    if layer not in able:
        raise UserError(f"params.yaml, compress.steps: replace.layers: {unknown('convolution', layer, able)}")
    return able[layer]


def _divided(old: nn.Conv2d, layer: str, groups: int | None) -> int:
    groups = old.in_channels if groups is None else groups
    if old.in_channels % groups:
        raise UserError(
            f"params.yaml, compress.steps: replace.groups {groups} does not divide the {old.in_channels} channels that "
            f"{layer!r} reads"
        )
    return groups


def _cheap(old: nn.Conv2d, groups: int) -> nn.Sequential:
    """The two convolutions, started at what is nearest to the old weights: a decomposition in each group."""
    inputs, outputs = old.in_channels, old.out_channels
    geometry = {"stride": old.stride, "padding": old.padding, "dilation": old.dilation}
    spatial = nn.Conv2d(inputs, inputs, old.kernel_size, groups=groups, bias=False, **geometry)  # pyright: ignore[reportArgumentType] pairs, typed as of any length
    mixing = nn.Conv2d(inputs, outputs, 1, bias=old.bias is not None)
    rank = inputs // groups
    with torch.no_grad():
        spatial.weight.zero_()
        mixing.weight.zero_()
        for group in range(groups):
            span = slice(group * rank, (group + 1) * rank)
            u_OK, s_K, v_KN = torch.linalg.svd(old.weight[:, span].double().flatten(1), False)
            # A group has no more factors than outputs: what is left stays zero.
            used = slice(span.start, span.start + min(rank, len(s_K)))
            root_K = s_K[:rank].sqrt()
            spatial.weight[used] = (root_K[:, None] * v_KN[:rank]).reshape(spatial.weight[used].shape).float()
            mixing.weight[:, used] = (u_OK[:, :rank] * root_K).reshape(mixing.weight[:, used].shape).float()
        if old.bias is not None and mixing.bias is not None:
            mixing.bias.copy_(old.bias)
    return nn.Sequential(spatial, mixing).to(old.weight.device, old.weight.dtype)


def _fit(model: nn.Module, layer: str, new: nn.Module, batches: Iterable[Tensor], lr: float) -> tuple[float, float]:
    """Teach `new` the outputs of `layer`; return the relative error before and after, on the first batch."""
    rest = iter(batches)
    first_BCHW = next(rest, None)
    steps = len(batches) - 1 if hasattr(batches, "__len__") else None  # pyright: ignore[reportArgumentType]
    if first_BCHW is None:
        raise UserError("replace: there are no batches to imitate the layer on: give two or more")
    optimizer = torch.optim.Adam(new.parameters(), lr)
    held = _input_and_output(model, layer, first_BCHW)
    start = _error(new, *held)
    done = 0
    for x_BCHW in rest:
        if steps:
            for group in optimizer.param_groups:
                group["lr"] = lr * (1 + math.cos(math.pi * done / steps)) / 2
        input_BCHW, output_BCHW = _input_and_output(model, layer, x_BCHW)
        # In units of the old outputs, so that one rate does for every layer.
        loss = F.mse_loss(new(input_BCHW), output_BCHW) / output_BCHW.square().mean().clamp_min(1e-12)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        done += 1
    if not done:
        raise UserError("replace: one batch of images is not enough to fit a layer and to judge it: give two or more")
    return start, _error(new, *held)


@torch.no_grad()
def _input_and_output(model: nn.Module, layer: str, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """The layer's inputs and outputs."""
    inputs: list[Tensor] = []
    hook = model.get_submodule(layer).register_forward_pre_hook(lambda module, given: inputs.append(given[0]))
    try:
        with tapped(model.eval(), [layer]) as outputs:
            model(x_BCHW)
    finally:
        hook.remove()
    return inputs[0], outputs[layer]


@torch.no_grad()
def _error(new: nn.Module, input_BCHW: Tensor, output_BCHW: Tensor) -> float:
    return float((new(input_BCHW) - output_BCHW).norm() / output_BCHW.norm())
