"""Unstructured magnitude pruning: the weights nearest to zero become zero, and stay so in tuning.

Han et al. 2015. Only the weights of convolutions and linear layers are pruned: biases and batch norm are
few, and matter. Shapes stay as they are; what it wins is entropy, so bytes once they are compressed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from pipeline.base.errors import UserError


@dataclass(frozen=True)
class Masks:
    """Which weights are kept: by name of the weight, true where it is."""

    kept: dict[str, Tensor]

    @property
    def sparsity(self) -> float:
        """The share of these weights that is pruned."""
        total = sum(mask.numel() for mask in self.kept.values())
        return 1 - sum(int(mask.sum()) for mask in self.kept.values()) / total

    @torch.no_grad()
    def enforce(self, model: nn.Module) -> None:
        """Set the pruned weights to zero, in place: to prune, and again after each step of an optimiser."""
        for name, mask in self.kept.items():
            weight = model.get_parameter(name)
            weight.mul_(mask.to(weight.device))

    def keeper(self, model: nn.Module) -> "Callable[[], None] | None":
        """What enforces the masks after each step, for whoever steps often; None where nothing is pruned."""
        pruned = [(model.get_parameter(name), mask) for name, mask in self.kept.items() if not mask.all()]

        @torch.no_grad()
        def keep() -> None:
            for number, (weight, mask) in enumerate(pruned):
                if mask.device != weight.device:  # the network has moved since
                    pruned[number] = (weight, mask.to(weight.device))
                weight.mul_(pruned[number][1])

        return keep if pruned else None

    @staticmethod
    def of_zeros(model: nn.Module) -> "Masks":
        """The masks of a model that was pruned before: what is exactly zero is pruned."""
        return Masks({name: weight != 0 for name, weight in _weights(model)})


def magnitude(model: nn.Module, *, sparsity: float, scope: Literal["global", "layer"] = "global") -> Masks:
    """Masks that prune exactly the nearest whole number of weights to the share `sparsity`, smallest first.

    Args:
        model: Is left as it is: `Masks.enforce` prunes it.
        sparsity: Share of the weights that become zero, in 0 … 1.
        scope: `global` compares the weights of all layers, `layer` prunes that share of each.

    Raises:
        UserError: Nothing would be left, or the model has no weights to prune.
    """
    weights = dict(_weights(model))
    if not weights:
        raise UserError("prune: this network has neither convolutions nor linear layers to prune: leave the step out")
    scopes = [list(weights)] if scope == "global" else [[name] for name in weights]
    kept: dict[str, Tensor] = {}
    for names in scopes:
        sizes = [weights[name].numel() for name in names]
        count = round(sparsity * sum(sizes))
        if not 0 <= count < sum(sizes):
            raise UserError(
                f"params.yaml, compress.steps: prune.sparsity {sparsity} leaves nothing of {names[0]!r} "
                f"({sum(sizes)} weights): it must be from 0 to below 1"
            )
        # Sorted, not compared with a threshold: equal weights must not be pruned beyond the count.
        order_N = torch.cat([weights[name].abs().flatten() for name in names]).argsort(stable=True)
        mask_N = torch.ones(sum(sizes), dtype=torch.bool, device=order_N.device)
        mask_N[order_N[:count]] = False
        for name, mask in zip(names, mask_N.split(sizes), strict=True):
            kept[name] = mask.view(weights[name].shape)
    return Masks(kept)


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Name and values of each weight that may be pruned, in the order of the layers; of one on a grid, the original."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            own = "parametrizations.weight.original" if is_parametrized(module, "weight") else "weight"
            yield f"{name}.{own}".removeprefix("."), module.get_parameter(own).detach()
