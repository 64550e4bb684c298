"""Which channels of a network only go together, and taking them out.

The dependency graph is torch-pruning's (Fang et al. 2023, DepGraph): a filter goes with its batch norm,
with what reads it, and with the filters that it is added to. What is ours: channels are followed one by
one, not a layer at a time; grouped convolutions lose as many channels in each group; and the padded
shortcut of residual networks, which the graph cannot see through, is traced as a concatenation.
"""

import copy
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.base.errors import UserError
from pipeline.models.residual import Block

EXTRA = "extra"
Place = tuple[str, str]  # a module, and its side: "in" or "out"


@dataclass(frozen=True)
class Unit:
    """Channels that only go together: at each place, their positions; and how much they weigh."""

    places: Mapping[Place, tuple[int, ...]]
    importance: float


class _Padded(nn.Module):
    """A residual block that widens, written so that tracing sees which channels its shortcut adds.

    Zeros that are appended have no history; the outputs of a convolution do.
    """

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.body = block.body
        self.stride = block.stride
        inputs = next(module for module in block.modules() if isinstance(module, nn.Conv2d)).in_channels
        self.extra = nn.Conv2d(inputs, block.added, 1, block.stride, bias=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """As of `Block`, but for the values of the added channels."""
        pixels_BCHW = F.avg_pool2d(x_BCHW, 1, self.stride)
        return F.relu(self.body(x_BCHW) + torch.cat([pixels_BCHW, self.extra(x_BCHW)], 1))


class _Read(nn.Module):
    """A network whose classes are read by one more layer, so that tracing sees which channels they are."""

    def __init__(self, model: nn.Module, example_BCHW: Tensor) -> None:
        super().__init__()
        self.model = model
        self.reader = nn.Linear(model(example_BCHW).shape[1], 1).to(example_BCHW.device, example_BCHW.dtype)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, 1)."""
        return self.reader(self.model(x_BCHW))


def units(model: nn.Module, channels: int, size: int) -> list[Unit]:
    """All that can be taken out of `model`, a unit each, in the order of its layers. The model is not changed.

    Images are (B, channels, size, size). Left whole, so not among the units: image channels, classes, and
    whatever touches other layers than convolutions, linear ones and batch norm, or is split.

    Raises:
        UserError: The architecture shuffles its channels in a way that cannot be followed.
    """
    # Here, as it takes half a second, which only stages that prune should pay.
    import torch_pruning
    from torch_pruning.ops import OPTYPE

    followed = {OPTYPE.CONV, OPTYPE.DEPTHWISE_CONV, OPTYPE.LINEAR, OPTYPE.BN}
    followed |= {OPTYPE.ELEMENTWISE, OPTYPE.RESHAPE, OPTYPE.CONCAT}
    traced = _traceable(model)
    names = {module: name for name, module in traced.named_modules()}
    some = next(traced.parameters())
    example_BCHW = torch.zeros(1, channels, size, size, device=some.device, dtype=some.dtype)
    read = _Read(traced, example_BCHW)
    try:
        graph = torch_pruning.DependencyGraph().build_dependency(read, example_BCHW, verbose=False)
    except (ArithmeticError, LookupError, RuntimeError) as error:
        raise UserError(
            f"prune: the channels of this architecture cannot be followed ({error}): "
            "set what to weights and give sparsity, which keeps the shapes"
        ) from None
    seen: set[tuple[str, int]] = set()
    found: list[dict[Place, set[int]]] = []
    whole: list[bool] = []
    for module in graph.module2node:
        if not isinstance(module, nn.Conv2d | nn.Linear) or _is_depthwise(module) or module is read.reader:
            continue  # a depthwise convolution goes with what it reads: with an image, not at all
        roots = [index for index in range(_channels(module, "out")) if (names[module], index) not in seen]
        if not roots:
            continue
        pruner: Any = graph.get_pruner_of_module(module)
        group = graph.get_pruning_group(module, pruner.prune_out_channels, roots)
        places: dict[int, dict[Place, set[int]]] = {root: defaultdict(set) for root in roots}
        for item in group:
            target = item.dep.target.module
            if item.dep.target.type not in followed or target not in names:
                continue
            side = "in" if item.dep.handler.__name__ == "prune_in_channels" else "out"
            for index, root in zip(item.idxs, item.root_idxs, strict=True):
                places[root][names[target], side].add(index)
                if side == "out":
                    seen.add((names[target], index))
        found += places.values()
        targets = [item.dep.target for item in group]
        stays = any(target.type not in followed or target.module is read.reader for target in targets)
        whole += [stays] * len(roots)
    reached = {place for unit in found for place in unit}
    norms = {place: _norms(traced, place) for place in reached if _has_weights(traced, place)}
    joined = _join(traced, found, whole)
    return [Unit(_sorted(each), _importance(norms, each)) for each in joined]


def least(model: nn.Module, place: Place) -> int:
    """How many channels must stay at a place.

    Two a group in a grouped convolution: with one, the next tracing would take it for a depthwise one.
    """
    name, side = place
    groups = 1 if name.endswith(f".{EXTRA}") else _groups(model.get_submodule(name))
    return 2 * groups if groups > 1 and side == "out" else groups


def cut(model: nn.Module, chosen: Iterable[Unit]) -> nn.Module:
    """A copy of `model` without those units; each layer keeps the order of what stays."""
    from torch_pruning.ops import module2type
    from torch_pruning.pruner.function import PrunerBox

    places: dict[Place, list[int]] = defaultdict(list)
    for unit in chosen:
        for place, indices in unit.places.items():
            places[place] += indices
    model = copy.deepcopy(model)
    for (name, side), indices in places.items():
        parent, _, child = name.rpartition(".")
        if child == EXTRA:
            block = model.get_submodule(parent)
            assert isinstance(block, Block)
            # Appended zeros are all alike: only their number counts.
            block.added -= len(indices) if side == "out" else 0
            continue
        module = model.get_submodule(name)
        pruner: Any = PrunerBox[module2type(module)]
        (pruner.prune_out_channels if side == "out" else pruner.prune_in_channels)(module, indices)
    return model


def _traceable(model: nn.Module) -> nn.Module:
    """A copy that autograd follows all through."""
    traced = copy.deepcopy(model).eval().requires_grad_(True)
    for name, module in list(traced.named_modules()):
        if isinstance(module, Block) and module.added:
            padded = _Padded(module).to(next(module.parameters()).device)
            traced.set_submodule(name, padded.eval())
    return traced


def _is_depthwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.groups == module.out_channels > 1


def _channels(module: nn.Module, side: str) -> int:
    """How many channels a layer writes ("out") or reads ("in")."""
    match module:
        case nn.Conv2d():
            return module.out_channels if side == "out" else module.in_channels
        case nn.Linear():
            return module.out_features if side == "out" else module.in_features
        case nn.BatchNorm2d():
            return module.num_features
        case _:
            raise TypeError(f"a {type(module).__name__} is not followed")


def _groups(module: nn.Module) -> int:
    """In how many groups a convolution works that lose channels together; 1 for any other layer."""
    return module.groups if isinstance(module, nn.Conv2d) and not _is_depthwise(module) else 1


def _join(model: nn.Module, found: list[dict[Place, set[int]]], whole: list[bool]) -> list[dict[Place, set[int]]]:
    """Units that grouped convolutions tie together made one; those tied to what stays whole left out."""
    parent = list(range(len(found)))

    def top(number: int) -> int:
        while parent[number] != number:
            number = parent[number]
        return number

    first: dict[tuple[Place, int], int] = {}
    for number, unit in enumerate(found):
        for (name, side), indices in unit.items():
            # Within a group only the offset counts: each group loses the same ones.
            width = _channels(model.get_submodule(name), side) // _groups(model.get_submodule(name))
            for index in indices:
                other = first.setdefault(((name, side), index % width), number)
                parent[top(number)] = top(other)
    kept_whole = {top(number) for number, is_whole in enumerate(whole) if is_whole}
    joined: dict[int, dict[Place, set[int]]] = {}
    for number, unit in enumerate(found):
        if (root := top(number)) not in kept_whole:
            into = joined.setdefault(root, defaultdict(set))
            for place, indices in unit.items():
                into[place] |= indices
    return list(joined.values())


def _sorted(unit: Mapping[Place, set[int]]) -> dict[Place, tuple[int, ...]]:
    return {place: tuple(sorted(indices)) for place, indices in unit.items()}


def _has_weights(model: nn.Module, place: Place) -> bool:
    """Whether weights there say how much a channel matters."""
    return isinstance(model.get_submodule(place[0]), nn.Conv2d | nn.Linear) and not place[0].endswith(f".{EXTRA}")


def _importance(norms: Mapping[Place, Tensor], unit: Mapping[Place, set[int]]) -> float:
    """The mean, over the layers that write or read these channels, of their weights' squared norm."""
    shares = [float(norms[place][sorted(indices)].mean()) for place, indices in unit.items() if place in norms]
    return sum(shares) / len(shares)


def _norms(model: nn.Module, place: Place) -> Tensor:
    """Squared norm of the weights that write ("out") or read ("in") each channel.

    The mean channel of a layer has 1, so that layers of different fan-in compare (Fang et al. 2023, section 4.3).
    """
    name, side = place
    module = model.get_submodule(name)
    assert isinstance(module, nn.Conv2d | nn.Linear)
    weight = module.weight.detach().double()
    if side == "out":
        norms_C = weight.flatten(1).square().sum(1)
    else:
        groups = module.groups if isinstance(module, nn.Conv2d) else 1
        split = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
        norms_C = split.square().sum((1, 3)).flatten()
    return norms_C / norms_C.mean().clamp_min(torch.finfo(norms_C.dtype).tiny)
