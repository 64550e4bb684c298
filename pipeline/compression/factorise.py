"""Low-rank factorisation: one layer becomes two thinner ones, by a singular value decomposition.

A linear layer (N to M) becomes N to K to M. A convolution (k x k, I to O channels) becomes k x k, I to K,
with the old stride and padding, then 1x1, K to O: the decomposition of its O x (I k k) matrix (Zhang et al.
2016, "Accelerating very deep convolutional networks", section 3, of the weights instead of the responses).
Among all matrices of rank K that one is nearest. Parameters and FLOPs of a layer fall by the same factor.
"""

import copy
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.compression.target import absolute, check_runs, measure, only, runs
from pipeline.config.numbers import Count, Share
from pipeline.config.section import unknown
from pipeline.console.progress import log
from pipeline.evaluation import cost

NAMED = 8  # layers that a line names


@dataclass(frozen=True)
class Factored:
    """What became of one layer.

    Attributes:
        name: The layer.
        rank: Of its two factors, out of `full`.
        error: Distance of the product to the old weights, relative to their norm (Frobenius).
        before, after: Its weights, biases apart.
    """

    name: str
    rank: int
    full: int
    error: float
    before: int
    after: int


class _Layer:
    """A layer's decomposition: W_MN = U diag(s) V. flops: What it takes of one image."""

    def __init__(self, module: nn.Conv2d | nn.Linear, flops: int = 0) -> None:
        self.module = module
        self.flops = flops
        # In double: the decomposition must not add an error of its own.
        self.u_MK, self.s_K, self.v_KN = torch.linalg.svd(module.weight.detach().double().flatten(1), False)
        # On the host: a GPU adds up a running sum in no fixed order.
        energy_K = self.s_K.square().cpu().cumsum(0)
        # Of weights that are all zero each rank has everything.
        self.energy_K: Tensor = energy_K / energy_K[-1] if energy_K[-1] > 0 else torch.ones_like(energy_K)

    def weights(self, rank: int) -> int:
        return rank * (self.u_MK.shape[0] + self.v_KN.shape[1])

    def saves(self, rank: int) -> bool:
        return self.weights(rank) < self.module.weight.numel()

    def saved(self, measure: str, rank: int) -> int:
        """How many of its `parameters` or `flops` it is spared by a rank: both fall as its weights do."""
        whole = self.module.weight.numel()
        return (whole if measure == "parameters" else self.flops) * (whole - self.weights(rank)) // whole

    def rank(self, energy: float) -> int:
        """The smallest rank that keeps this share of the squared norm."""
        return min(int((self.energy_K < energy).sum()) + 1, len(self.s_K))

    def factors(self, rank: int) -> nn.Sequential:
        old = self.module
        root_K = self.s_K[:rank].sqrt()
        first_KN, second_MK = root_K[:, None] * self.v_KN[:rank], self.u_MK[:, :rank] * root_K
        first: nn.Conv2d | nn.Linear
        second: nn.Conv2d | nn.Linear
        bias = old.bias is not None
        if isinstance(old, nn.Conv2d):
            geometry = {"stride": old.stride, "padding": old.padding, "dilation": old.dilation}
            first = nn.Conv2d(old.in_channels, rank, old.kernel_size, bias=False, **geometry)  # pyright: ignore[reportArgumentType] pairs, typed as of any length
            second = nn.Conv2d(rank, old.out_channels, 1, bias=bias)
        else:
            first, second = nn.Linear(old.in_features, rank, bias=False), nn.Linear(rank, old.out_features, bias=bias)
        made = nn.Sequential(first, second).to(old.weight.device, old.weight.dtype).train(old.training)
        with torch.no_grad():
            first.weight.copy_(first_KN.reshape(first.weight.shape))
            second.weight.copy_(second_MK.reshape(second.weight.shape))
            if old.bias is not None and second.bias is not None:
                second.bias.copy_(old.bias)
        return made

    def report(self, name: str, rank: int) -> Factored:
        norm = float(self.s_K.square().sum().sqrt())
        error = float(self.s_K[rank:].square().sum().sqrt()) / norm if norm else 0.0
        return Factored(name, rank, len(self.s_K), error, self.module.weight.numel(), self.weights(rank))


def factorise(
    model: nn.Module,
    *,
    channels: int,
    size: int,
    rank: Count | None = None,
    energy: Share | None = None,
    parameters: Count | Share | None = None,
    flops: Count | Share | None = None,
    layers: tuple[str, ...] | None = None,
) -> tuple[nn.Module, list[Factored]]:
    """A copy of `model` with factorised layers, and what became of each of them; exactly one target is given.

    A layer that would not get smaller is left as it is; so are grouped convolutions, and layers whose weights a network
    reads without calling them.

    Args:
        model: For images (B, channels, size, size).
        rank: Of every layer.
        energy: Share of each layer's squared singular values to keep, by the smallest rank that does.
        parameters: How many the model may have, a whole number or a share of what it has: the largest common
            `energy` that does is found.
        flops: For one image, likewise.
        layers: Names of the only layers to factorise.

    Raises:
        UserError: The target cannot be reached, or a layer's name is unknown.
    """
    name, target = only("factorise", rank=rank, energy=energy, parameters=parameters, flops=flops)
    found = _decompose(model, layers, channels, size)
    made, factored = _applied(model, found, _ranks(model, found, name, target, channels, size))
    if not factored or runs(made, channels, size):
        return made, factored
    # Some networks call a layer and read its weight, too: for its device, say.
    whole = {key for key, layer in found.items() if not _runs_with(model, key, layer, channels, size)}
    if whole:
        more = f" and {len(whole) - NAMED} more" if len(whole) > NAMED else ""
        log(f"factorise: left whole, as the network looks at them by itself: {', '.join(sorted(whole)[:NAMED])}{more}")
    found = {key: layer for key, layer in found.items() if key not in whole}
    made, factored = _applied(model, found, _ranks(model, found, name, target, channels, size))
    check_runs(
        made,
        channels,
        size,
        "factorise: this architecture does not run with layers in two",
        "name the layers that may be, by layers, or leave the step out",
    )
    return made, factored


def _ranks(
    model: nn.Module, found: Mapping[str, _Layer], name: str, target: Any, channels: int, size: int
) -> dict[str, int]:
    """The rank of each layer; none where the target holds already."""
    if name == "rank":
        return {key: min(target, len(layer.s_K)) for key, layer in found.items()}
    if name == "energy":
        return {key: layer.rank(target) for key, layer in found.items()}
    before = measure(name, channels, size)(model)
    goal = absolute(target, before)
    if before <= goal:
        return {}
    # Only at these shares does a rank change; from one to the next the cost rises.
    shares = sorted({share for layer in found.values() for share in layer.energy_K.tolist()})
    costs = [*shares, 1.0]

    def cost_at(share: float) -> int:
        ranks = {layer: layer.rank(share) for layer in found.values()}
        return before - sum(layer.saved(name, rank) for layer, rank in ranks.items() if layer.saves(rank))

    fitting = bisect_right(costs, goal, key=cost_at)
    if fitting == 0:
        raise UserError(
            f"params.yaml, compress.steps: factorise.{name} {target} leaves {goal:,} of {before:,}, but even at "
            f"rank 1 there are {cost_at(costs[0]):,}: raise it, or prune as well"
        )
    return {key: layer.rank(costs[fitting - 1]) for key, layer in found.items()}


def _runs_with(model: nn.Module, name: str, layer: _Layer, channels: int, size: int) -> bool:
    """Whether the network runs with this one layer in two."""
    model.set_submodule(name, layer.factors(1))
    try:
        return runs(model, channels, size)
    finally:
        model.set_submodule(name, layer.module)


def _decompose(model: nn.Module, layers: tuple[str, ...] | None, channels: int, size: int) -> dict[str, _Layer]:
    """The layers that can be factorised, by name. A tapped head, which is more than a linear layer, is not."""
    plain = {
        name: module
        for name, module in model.named_modules()
        if type(module) is nn.Linear
        or (type(module) is nn.Conv2d and module.groups == 1 and module.padding_mode == "zeros")
    }
    flops = cost.flops_by_layer(model, channels, size, plain)
    able = {name: module for name, module in plain.items() if name in flops}
    for name in layers or ():
        if name not in able:
            raise UserError(f"params.yaml, compress.steps: factorise.layers: {unknown('layer', name, able)}")
    return {
        name: _Layer(module, flops[name])
        for name, module in able.items()
        if isinstance(module, nn.Conv2d | nn.Linear) and (layers is None or name in layers)
    }


def _applied(
    model: nn.Module, found: Mapping[str, _Layer], ranks: Mapping[str, int]
) -> tuple[nn.Module, list[Factored]]:
    """A copy with these layers at these ranks, where that saves."""
    model = copy.deepcopy(model)
    saving = {name: rank for name, rank in ranks.items() if found[name].saves(rank)}
    for name, rank in saving.items():
        model.set_submodule(name, found[name].factors(rank))
    return model, [found[name].report(name, rank) for name, rank in saving.items()]
