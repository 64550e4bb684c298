"""One network in training, with its objective and its optimiser.

Legend: B batch, C classes.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.config.recipe import Recipe
from pipeline.config.term import needs_features
from pipeline.models.build import build
from pipeline.models.shown import Show
from pipeline.models.taps import shapes, tapped
from pipeline.objectives.compose import Objective
from pipeline.objectives.pairing import LOGITS, Shapes
from pipeline.training.averaging import Average
from pipeline.training.device import Device
from pipeline.training.frozen import freeze, levels
from pipeline.training.norms import (
    are_too_few,
    check_single_images,
    estimate_again,
    norms_of,
    raise_momentum,
)
from pipeline.training.recipe import by_depth, make_recordable, optimizer
from pipeline.training.scaling import LossScale

if TYPE_CHECKING:
    # The type only: what a spec holds decides a result, not how it is read.
    from pipeline.planning.specs.training import NetworkSettings, TrainingSettings

START = "pipeline.training.start"
AfterStep = Callable[[], None]
# Initialises a fresh network, in place; what it returns is called after each step of the optimiser.
InitWeights = Callable[[nn.Module], AfterStep | None]


class Learner:
    """What of a training belongs to one network.

    Args:
        spec: What it is, and what it learns.
        recipe: How to step.
        sizes_S: Images of each batch of an epoch.
        device: Where and how to compute.
        channels, size: Of its images.
        classes: Their names.
        teacher: Shapes of the teacher's layers, where there is one that runs.
        init_weights: Where the weights are not fresh.
        show: What makes its images of views; None where they are views as they are.
        class_weights_C: What an image of each class counts in terms on hard labels; None: 1.

    Attributes:
        model: The network.
        objective: Its loss terms, some with parameters of their own.
        average: The moving average of the network's weights, where the recipe asks for one.
        best: The network of the best epoch so far, where that is the one to keep.
        scale: Of the losses, in float16.
        trained: All of these, as they are saved together; of networks only `result` is exported.
        names: Of the losses, their weighted total first.
        features: Outputs of the layers that the objective compares, of the last forward pass.
        momentum: What that of BatchNorm layers was raised to for so short a training; None where it was not.
        estimates_again: Whether their statistics are made anew at its end.
    """

    def __init__(
        self,
        spec: NetworkSettings | TrainingSettings,
        recipe: Recipe,
        sizes_S: Sequence[int],
        device: Device,
        *,
        channels: int,
        size: int,
        classes: Sequence[str],
        teacher: Shapes | None,
        init_weights: InitWeights | None = None,
        show: Show | None = None,
        class_weights_C: Tensor | None = None,
    ) -> None:
        self.device = device
        self.show = show
        # The network first: a method's adapters draw after it, so all methods share its initialisation.
        torch.manual_seed(spec.seed)
        assert spec.architecture is not None
        model = build(spec.architecture, channels=channels, size=size, classes=len(classes))
        if spec.initial_file:
            # By name, so that only what begins with a file depends on this code.
            importlib.import_module(START).begin(model, spec.initial_file, classes)
        self.after_step = init_weights(model) if init_weights else None
        self.model = device.place(model)
        student = shapes(self.model, channels, size) if needs_features(spec.objective) else None
        self.objective = Objective(spec.objective, student, teacher, class_weights_C).to(device.where)
        learning: dict[str, nn.Module] = {"model": self.model, "objective": self.objective}
        self.frozen = self._freeze_unreached(channels, size)
        probe_BCHW = torch.ones(2, channels, size, size, device=device.where)
        if recipe.freeze is not None:
            self.frozen += freeze(self.model, recipe.freeze, probe_BCHW)
            self._check_compared(recipe.freeze)
        depths = levels(self.model, probe_BCHW) if by_depth(recipe) else ()
        self.optimizer = optimizer(recipe, nn.ModuleDict(learning), device.where, depths)
        self.average = Average(self.model, recipe.ema) if recipe.ema is not None else None
        self.best = copy.deepcopy(self.model).eval().requires_grad_(False) if recipe.keep == "best" else None
        self.scale = LossScale(device.where, self.optimizer) if device.dtype == torch.float16 else None
        copies = {"average": self.average, "best": self.best, "scale": self.scale}
        self.trained = nn.ModuleDict(learning | {name: each for name, each in copies.items() if each is not None})
        # To find them anew at each step takes as long as to use them.
        self.parameters = list(nn.ModuleDict(learning).parameters())
        self.weights: Sequence[float | Tensor] = ()
        self.gain: float | Tensor = 1.0
        # What changes from step to step: a step that is recorded (`replay.py`) cannot read a number of Python's.
        self.now_L: Tensor | None = None
        if device.where.type == "cuda" and make_recordable(self.optimizer):
            count = len(self.optimizer.param_groups) + len(self.objective.terms) + (self.average is not None)
            self.now_L = torch.zeros(count, device=device.where)
        self.names = ("loss", *self.objective.terms)
        self.parts = recipe.accumulate
        least = min(sizes_S) // self.parts
        if least == 0:
            raise UserError(
                f"recipe.accumulate is {self.parts}, and a batch has {min(sizes_S)} images: accumulate that many parts "
                "at most"
            )
        if least == 1:
            check_single_images(self.model, probe_BCHW[:1] * 0, self.frozen)
        self.norms = list(norms_of(self.model).values())
        self.learning_norms = [norm for norm in self.norms if norm not in self.frozen]
        # Each part of a batch moves the running statistics.
        passes = recipe.epochs * len(sizes_S) * self.parts
        self.momentum = raise_momentum(self.learning_norms, passes)
        self.estimates_again = are_too_few(self.learning_norms, passes)
        self._hooks = ExitStack()
        self.features = self._hooks.enter_context(tapped(self.model, self.objective.student_layers))
        self.forward: Callable[[Tensor], Tensor] = self.forward_of(self.model)

    def forward_of(self, model: nn.Module) -> Callable[[Tensor], Tensor]:
        """Logits, float32, of views, by the network or a copy of it."""
        return self.device.forward(model, self.show)

    @property
    def final(self) -> nn.Module:
        """The network that is measured after an epoch: the average of the weights, where there is one."""
        return self.average.model if self.average else self.model

    @property
    def result(self) -> nn.Module:
        """The network that training leaves."""
        return self.best or self.final

    def keep(self) -> None:
        """Let the network as it is be the best one so far."""
        if self.best is not None:
            self.best.load_state_dict(self.final.state_dict())

    @property
    def batch_norm(self) -> dict[str, float | bool | None] | None:
        """What the node records of it."""
        if self.momentum is None and not self.estimates_again:
            return None
        return {"momentum": self.momentum, "estimated_again": self.estimates_again}

    def train(self) -> None:
        """Training mode, but for what does not learn."""
        self.model.train()
        for module in self.frozen:
            module.eval()

    def forward_again(self, x_BCHW: Tensor) -> Tensor:
        """Logits of a batch after a step, for the peers: BatchNorm's running statistics see each batch once only."""
        for norm in self.norms:
            norm.track_running_stats = False
        with torch.no_grad():
            z_BC = self.forward(x_BCHW)
        for norm in self.norms:
            norm.track_running_stats = True
        return z_BC

    def set(self, rate: float, share: float, step: int = 1) -> None:
        """Let the next step, number `step` from 1, be one at this learning rate, after `share` of the training."""
        groups = self.optimizer.param_groups
        for group in groups:
            group["lr"] = rate * group.get("scale", 1.0)
        self.weights = self.objective.weights(share)
        gains = [self.average.gain(step)] if self.average else []
        self.gain = gains[0] if gains else 1.0
        if self.now_L is not None:
            now = [*(group["lr"] for group in groups), *self.weights, *gains]
            self.now_L.copy_(torch.tensor(now).pin_memory(), non_blocking=True)
            _, weights_L, gain_L = self.now_L.tensor_split([len(groups), len(groups) + len(self.weights)])
            self.weights = weights_L.unbind()
            self.gain = gain_L.squeeze() if gains else 1.0

    def estimate_again(self, batches: Iterable[Tensor]) -> None:
        """Make the running statistics of the layers that learn anew, from batches x_BCHW, in the network to measure."""
        final = self.final.eval()
        learning = {name for name, each in norms_of(self.model).items() if each in self.learning_norms}
        norms = [each for name, each in norms_of(final).items() if name in learning]
        estimate_again(norms, self.forward_of(final), batches)

    def backward(self, losses: Sequence[Tensor]) -> None:
        """From each loss, not from their sum: the same gradient without a graph of the sum to build."""
        torch.autograd.backward(self.scale.scaled(losses) if self.scale else losses)

    def steepest(self) -> Tensor:
        """The gradient's largest entry, once the gradient is whole."""
        if self.scale:
            self.scale.unscale(self.gradients())
        found = nn.utils.get_total_norm(self.gradients(), float("inf"))
        return self.scale.finite(found) if self.scale else found

    def gradients(self) -> list[Tensor]:
        """Those that the backward pass left."""
        return [parameter.grad for parameter in self.parameters if parameter.grad is not None]

    def step(self) -> None:
        """A step of the optimiser, what `init_weights` asked for after each, and the average follows."""
        step = self.scale.step if self.scale else self.optimizer.step
        if self.now_L is None:
            step()
        else:
            rates = [group["lr"] for group in self.optimizer.param_groups]
            for number, group in enumerate(self.optimizer.param_groups):
                group["lr"] = self.now_L[number]
            step()
            # What is saved of a group are numbers.
            for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
        if self.after_step:
            self.after_step()
        if self.average:
            self.average.follow(self.gain)

    def _check_compared(self, layer: str) -> None:
        """Refuse a term that compares frozen layers alone: nothing would learn from it."""
        frozen = {name for name, each in self.model.named_modules() if each in self.frozen}
        for name, term in self.objective.terms.items():
            compared = {pair.student for pair in term.pairs}
            if compared and compared <= frozen:
                raise UserError(
                    f"objective.{name} compares {', '.join(sorted(compared))}, which recipe.freeze: {layer} keeps as "
                    "it is: compare a later layer, or freeze less"
                )

    def _freeze_unreached(self, channels: int, size: int) -> list[nn.Module]:
        """Freeze what the objective does not reach, such as all layers above a hint; return those modules.

        Found by a backward pass from the layers that the objective compares.
        """
        compared = [pair.student for term in self.objective.terms.values() for pair in term.pairs]
        if "z_BC" in self.objective.needs or LOGITS in compared:
            return []
        self.model.eval()
        with tapped(self.model, self.objective.student_layers) as features:
            self.model(torch.ones(2, channels, size, size, device=self.device.where))
        torch.stack([feature.float().sum() for feature in features.values()]).sum().backward()
        for parameter in self.model.parameters():
            parameter.requires_grad_(parameter.grad is not None)
            parameter.grad = None
        return [
            module
            for module in self.model.modules()
            if (own := list(module.parameters(recurse=False))) and not any(each.requires_grad for each in own)
        ]
