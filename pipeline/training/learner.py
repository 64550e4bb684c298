"""One network in training, with its objective and its optimiser.

Legend: B batch, C classes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pipeline.config.recipe import Recipe
from pipeline.config.term import needs_features
from pipeline.models.build import build
from pipeline.models.shown import Show
from pipeline.models.taps import shapes, tapped
from pipeline.objectives.compose import Objective
from pipeline.objectives.pairing import LOGITS, Shapes
from pipeline.training.device import Device
from pipeline.training.norms import (
    are_too_few,
    check_single_images,
    estimate_again,
    norms_of,
    raise_momentum,
)
from pipeline.training.recipe import make_recordable, optimizer

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

    Attributes:
        model: The network.
        objective: Its loss terms, some with parameters of their own.
        trained: Both, as they learn together and are saved together; only the model is exported.
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
    ) -> None:
        self.device = device
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
        self.objective = Objective(spec.objective, student, teacher).to(device.where)
        self.trained = nn.ModuleDict({"model": self.model, "objective": self.objective})
        self.frozen = self._freeze_unreached(channels, size)
        self.optimizer = optimizer(recipe, self.trained, device.where)
        self.parameters = list(self.trained.parameters())  # to find them anew at each step takes as long as to use them
        self.weights: Sequence[float | Tensor] = ()
        # What changes from step to step: a step that is recorded (`replay.py`) cannot read a number of Python's.
        self.now_L: Tensor | None = None
        if device.where.type == "cuda" and make_recordable(self.optimizer):
            self.now_L = torch.zeros(1 + len(self.objective.terms), device=device.where)
        self.names = ("loss", *self.objective.terms)
        if min(sizes_S) == 1:
            check_single_images(self.model, torch.zeros(1, channels, size, size, device=device.where))
        steps = recipe.epochs * len(sizes_S)
        self.momentum = raise_momentum(self.model, steps)
        self.norms = list(norms_of(self.model).values())
        self.learning_norms = [norm for norm in self.norms if norm not in self.frozen]
        self.estimates_again = are_too_few(self.learning_norms, steps)
        self._hooks = ExitStack()
        self.features = self._hooks.enter_context(tapped(self.model, self.objective.student_layers))
        self.forward: Callable[[Tensor], Tensor] = device.forward(self.model, show)

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

    def set(self, rate: float, share: float) -> None:
        """Let the next step be one at this learning rate, after `share` of the training."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.weights = self.objective.weights(share)
        if self.now_L is not None:
            self.now_L.copy_(torch.tensor([rate, *self.weights]).pin_memory(), non_blocking=True)
            self.weights = self.now_L[1:].unbind()

    def estimate_again(self, batches: Iterable[Tensor]) -> None:
        """Make the running statistics of the layers that learn anew, from batches x_BCHW."""
        self.model.eval()
        estimate_again(self.learning_norms, self.forward, batches)

    def gradients(self) -> list[Tensor]:
        """Those that the backward pass left."""
        return [parameter.grad for parameter in self.parameters if parameter.grad is not None]

    def step(self) -> None:
        """A step of the optimiser, and what `init_weights` asked for after each."""
        if self.now_L is None:
            self.optimizer.step()
        else:
            rates = [group["lr"] for group in self.optimizer.param_groups]
            for group in self.optimizer.param_groups:
                group["lr"] = self.now_L[0]
            self.optimizer.step()
            # What is saved of a group are numbers.
            for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
        if self.after_step:
            self.after_step()

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
