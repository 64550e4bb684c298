"""The one training loop, for every method.

What a network learns is its objective's business, whom it hears is the teaching's, and how the device
computes is the device's; the loop draws views, steps, looks at validation, and keeps its state.

Legend: B batch, C classes, S steps of an epoch, L losses (their weighted total first).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.data.batches import Pixels, batches, order
from pipeline.data.prepared import Prepared
from pipeline.data.views import cut, draw
from pipeline.errors import UserError
from pipeline.models.build import build
from pipeline.objectives.compose import Objective, Signals
from pipeline.progress import Show
from pipeline.sections.recipe import Recipe
from pipeline.sections.views import Views
from pipeline.training.device import Device
from pipeline.training.recipe import is_fused, learning_rate, optimizer
from pipeline.training.signals import Stopped, deferred
from pipeline.training.snapshot import encode, restore
from pipeline.training.state import State, facts
from pipeline.training.teaching import Teaching

RESIDENT_BYTES = 2 << 30


@dataclass
class Position:
    """Where training stands: what is saved besides tensors."""

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)


class Training:
    """One network on its way, from any saved position to the end.

    Args:
        spec: The `training` part of a plan: architecture, objective, recipe, views, seed.
        data: The prepared data.
        teaching: Where the teacher's logits come from.
        device: Where and how to compute.
        predict: (model, split) -> accuracy on clean images.
    """

    def __init__(self, spec: dict[str, Any], data: Prepared, teaching: Teaching, device: Device) -> None:
        self.spec = spec
        self.data = data
        self.teaching = teaching
        self.device = device
        self.recipe = Recipe(**spec["recipe"])
        self.views = Views(**spec["views"])
        torch.manual_seed(spec["seed"])
        net = build(spec["architecture"], channels=data.channels, size=data.size, classes=len(data.classes))
        self.model = device.place(net)
        self.objective = Objective(spec["objective"]).to(device.where)
        self.learner = nn.ModuleDict({"model": self.model, "objective": self.objective})
        self.optimizer = optimizer(self.recipe, self.learner, device.where)
        self.pixels = Pixels(data.train.images, device.where, RESIDENT_BYTES)
        self.labels_N = torch.from_numpy(np.array(data.train.labels)).to(device.where)
        self.mean_C = torch.tensor(data.mean, device=device.where)
        self.std_C = torch.tensor(data.std, device=device.where)
        self.steps = len(batches(np.arange(len(data.train)), self.recipe.batch_size))
        self.names = ("loss", *spec["objective"])
        self.losses_SL = torch.zeros(self.steps, len(self.names), device=device.where)
        self.at = Position()

    def run(
        self,
        state: State,
        validate: Callable[[], float],
        show: Show,
        say: Callable[[str], None],
        every: float,
    ) -> None:
        """Train to the last epoch, or until a stop is asked for.

        Args:
            state: Where progress is kept.
            validate: Accuracy of the model on clean validation images.
            show: Is called with each epoch's row.
            say: Prints one sentence.
            every: Seconds between saved states.

        Raises:
            Stopped: A signal asked to stop; the state is saved.
            UserError: A loss is not finite.
        """
        self._restore(state, say)
        if self.at.epoch == self.recipe.epochs:
            say(f"training was finished before: its result is used, {self.at.seconds:.1f} s saved")
            return
        saved = time.monotonic()
        with deferred() as stop_asked:
            while self.at.epoch < self.recipe.epochs:
                for step in self._epoch():
                    self.at.step = step + 1
                    if stop_asked() or time.monotonic() - saved >= every:
                        self._save(state)
                        saved = time.monotonic()
                        if stop_asked():
                            raise Stopped(
                                f"stopped after epoch {self.at.epoch}, step {self.at.step}; progress is saved"
                            )
                self._finish_epoch(validate(), show)
            self._save(state)

    def _epoch(self):
        """Yield each step of the current epoch as it is done, from the current step on."""
        recipe, at = self.recipe, self.at
        v = self.teaching.view(at.epoch)
        hear = self.teaching.hear(v)
        drawn = draw(self.views, self.spec["views_seed"], self.teaching.stream, v, len(self.data.train), self.data.size)
        drawn = drawn.to(self.device.where)
        rows = batches(order(self.spec["seed"], at.epoch, len(self.data.train)), recipe.batch_size)
        self.model.train()
        self.began = time.perf_counter()
        for step in range(at.step, self.steps):
            rows_B = torch.from_numpy(rows[step]).to(self.device.where)
            x_BCHW = cut(self.pixels[rows_B], drawn, rows_B, self.mean_C, self.std_C)
            self._step(step, x_BCHW, self.labels_N[rows_B], hear(rows_B, x_BCHW))
            yield step

    def _step(self, step: int, x_BCHW: Tensor, y_B: Tensor, t_BC: Tensor | None) -> None:
        lr = learning_rate(self.recipe, self.at.epoch * self.steps + step, self.recipe.epochs * self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        with self.device.computing():
            z_BC = self.model(self.device.layout(x_BCHW))
        losses = self.objective(Signals(z_BC=z_BC.float(), y_B=y_B, t_BC=t_BC))
        total = self.objective.total(losses)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        if self.recipe.clip is not None:
            nn.utils.clip_grad_norm_(self.learner.parameters(), self.recipe.clip)
        self.optimizer.step()
        # Kept on the device: asking for a number at each step would make the device wait for us.
        self.losses_SL[step] = torch.stack([total.detach(), *(loss.detach() for loss in losses.values())])

    def _finish_epoch(self, accuracy: float, show: Show) -> None:
        self._check_finite()
        at = self.at
        seconds = time.perf_counter() - self.began
        means = self.losses_SL.mean(0).tolist()
        row = {
            "epoch": at.epoch + 1,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "images_per_second": round(self.steps * self.recipe.batch_size / seconds, 1),
            "validation_accuracy": accuracy,
            **{name if name == "loss" else f"loss_{name}": mean for name, mean in zip(self.names, means, strict=True)},
        }
        at.rows.append(row)
        at.seconds += seconds
        at.epoch += 1
        at.step = 0
        show(row)

    def _check_finite(self) -> None:
        """Find the first loss that is not finite: its step and its terms."""
        wrong_SL = ~torch.isfinite(self.losses_SL)
        if not wrong_SL.any():
            return
        step = int(wrong_SL.any(1).nonzero()[0])
        terms = [name for name, wrong in zip(self.names[1:], wrong_SL[step, 1:].tolist(), strict=True) if wrong]
        raise UserError(
            f"the loss is not finite at epoch {self.at.epoch + 1}, step {step + 1} "
            f"({', '.join(terms) or 'the total'}): lower recipe.lr, set recipe.clip, or look at the data"
        )

    def _environment(self) -> dict[str, Any]:
        return self.device.describe() | {"fused": is_fused(self.device.where)}

    def _save(self, state: State) -> None:
        self._check_finite()
        content = {
            "environment": self._environment(),
            "epochs": self.recipe.epochs,
            "position": vars(self.at),
        }
        state.save(encode(self.learner, self.optimizer, self.losses_SL, content))

    def _restore(self, state: State, say: Callable[[str], None]) -> None:
        body = state.load(say)
        if body is None:
            return
        saved = facts(body)
        now = self._environment()
        if changed := [name for name in now if saved["environment"].get(name) != now[name]]:
            name = changed[0]
            say(
                f"saved progress is not used: {name} was {saved['environment'].get(name)}, is {now[name]}, "
                "and that decides the last bits of a result"
            )
            return
        restore(body, self.learner, self.optimizer, self.losses_SL)
        self.at = Position(**saved["position"])
        if self.at.epoch < self.recipe.epochs:
            say(f"going on at epoch {self.at.epoch + 1}, step {self.at.step + 1}")
