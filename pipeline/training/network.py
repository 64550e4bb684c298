"""One network in training: its weights, its objective, its optimiser.

Legend: B batch, C classes, S steps of an epoch, L losses (their weighted total first).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.config.recipe import Recipe
from pipeline.config.term import needs_features
from pipeline.models.build import build
from pipeline.models.taps import shapes, tapped
from pipeline.objectives.compose import Objective, Signals
from pipeline.objectives.pairing import LOGITS, Shapes
from pipeline.training.device import Device
from pipeline.training.recipe import optimizer
from pipeline.training.teaching import Heard

if TYPE_CHECKING:
    # The type only: what a spec holds decides a result, not how it is read.
    from pipeline.planning.specs.training import NetworkSettings, TrainingSettings

AfterStep = Callable[[], None]
# Gives a fresh network what it begins with, in place; what it returns is called after each step of the optimiser.
Begin = Callable[[nn.Module], AfterStep | None]


class Network:
    """A network that looks at images and learns from what it saw.

    Args:
        spec: What it is, and what it learns.
        begin: Where it does not begin with fresh weights.
        recipe: How to step.
        device: Where and how to compute.
        channels, size, classes: Of the data.
        teacher: Shapes of the teacher's layers, where there is one that runs.
    """

    def __init__(
        self,
        spec: NetworkSettings | TrainingSettings,
        recipe: Recipe,
        device: Device,
        *,
        channels: int,
        size: int,
        classes: int,
        teacher: Shapes | None,
        begin: Begin | None = None,
    ) -> None:
        self.recipe = recipe
        self.device = device
        # The network first: a method's adapters draw after it, so all methods share its initialisation.
        torch.manual_seed(spec.seed)
        assert spec.architecture is not None
        model = build(spec.architecture, channels=channels, size=size, classes=classes)
        self.after_step = begin(model) if begin else None
        self.model = device.place(model)
        student = shapes(self.model, channels, size) if needs_features(spec.objective) else None
        self.objective = Objective(spec.objective, student, teacher).to(device.where)
        # Learned together and saved together; only the model is exported.
        self.learner = nn.ModuleDict({"model": self.model, "objective": self.objective})
        self.frozen = self._freeze_unreached(channels, size)
        self.optimizer = optimizer(recipe, self.learner, device.where)
        self.parameters = list(self.learner.parameters())  # to find them anew at each step takes as long as to use them
        self.names = ("loss", *self.objective.terms)
        norms = [module for module in self.model.modules() if isinstance(module, _BatchNorm)]
        self.norms = [norm for norm in norms if norm.track_running_stats]
        self._hooks = ExitStack()
        self.features = self._hooks.enter_context(tapped(self.model, self.objective.student_layers))
        self.answer = device.forward(self.model)
        self.z_BC = torch.empty(0)

    def train(self) -> None:
        """Training mode, but for what does not learn."""
        self.model.train()
        for module in self.frozen:
            module.eval()

    def look(self, x_BCHW: Tensor) -> None:
        """Answer a batch, ready to learn from it."""
        self.z_BC = self.answer(x_BCHW)

    def look_again(self, x_BCHW: Tensor) -> None:
        """Answer a batch anew after a step, for the peers: BatchNorm's running statistics see it once only."""
        for norm in self.norms:
            norm.track_running_stats = False
        with torch.no_grad():
            self.look(x_BCHW)
        for norm in self.norms:
            norm.track_running_stats = True

    def learn(self, y_B: Tensor, heard: Heard, peers: list[Tensor], share: float, rate: float) -> Tensor:
        """One step from what was looked at; return the losses (L), total first, then the gradient's largest
        entry, on the device.

        Args:
            y_B: Hard labels.
            heard: What the teacher says.
            peers: Logits of the other networks of a mutual training.
            share: Of the training that is done, 0 … 1.
            rate: Learning rate.
        """
        signals = Signals(self.z_BC, y_B, heard.t_BC, self.features, heard.features, peers or None)
        losses = self.objective(signals)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        weighted = self.objective.weighted(losses, share)
        # From each term and not from their sum: the same gradient without a graph of the sum to build and walk.
        torch.autograd.backward(weighted)
        steepest = nn.utils.get_total_norm(self._gradients(), float("inf"))
        if self.recipe.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        self.optimizer.step()
        if self.after_step:
            self.after_step()
        with torch.no_grad():
            return torch.stack([torch.stack(weighted).sum(), *losses.values(), steepest])

    def _gradients(self) -> list[Tensor]:
        return [parameter.grad for parameter in self.parameters if parameter.grad is not None]

    def _freeze_unreached(self, channels: int, size: int) -> list[nn.Module]:
        """Freeze what the objective does not reach, such as all layers above a hint; return those modules.

        Found by a backward pass from the layers that the objective looks at.
        """
        looked_at = [pair.student for term in self.objective.terms.values() for pair in term.pairs]
        if "z_BC" in self.objective.needs or LOGITS in looked_at:
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
