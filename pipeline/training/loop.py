"""The one training loop, for every method.

What a network learns is its objective's business, whom it hears is the teaching's, and how the device
computes is the device's; the loop draws views, lets one network (or several that teach each other) step,
looks at validation, and keeps its state.

Legend: B batch, C classes, S steps of an epoch, K networks, L losses (their weighted total first, and last the
gradient's largest entry).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.base.signals import Stopped, deferred
from pipeline.config.recipe import Recipe
from pipeline.config.views import Views
from pipeline.data.batches import Pixels, batches, order
from pipeline.data.feed import cut_ahead
from pipeline.data.prepared import Prepared
from pipeline.data.rows import Rows
from pipeline.data.views import draw
from pipeline.training.device import Device
from pipeline.training.network import Begin, Network
from pipeline.training.recipe import is_fused, learning_rate
from pipeline.training.saving import Saver
from pipeline.training.snapshot import collect, restore
from pipeline.training.state import State, facts
from pipeline.training.teaching import Heard, Teaching

if TYPE_CHECKING:
    # The type only: what a spec holds decides a result, not how it is read.
    from pipeline.planning.specs.training import TrainingSettings

Row = dict[str, Any]
Show = Callable[[Row], None]
Validate = Callable[[nn.Module], float | None]


@dataclass
class Position:
    """Where training stands: what is saved besides tensors.

    `seconds` are those of all steps of finished epochs, `epoch_seconds` of the current one: validating and saving
    are not training. `rows`: for each epoch, one row a network.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    rows: list[list[Row]] = field(default_factory=list)


class Training:
    """Networks on their way, from any saved position to the end.

    Args:
        spec: The `training` part of a spec.
        data: The prepared data.
        teaching: Where what the teacher says comes from.
        device: Where and how to compute.
        begin: What gives each network its first weights, where these are not fresh.
    """

    def __init__(
        self, spec: TrainingSettings, data: Prepared, teaching: Teaching, device: Device, begin: Begin | None = None
    ) -> None:
        self.spec = spec
        self.data = data
        self.teaching = teaching
        self.device = device
        self.recipe = Recipe(**spec.recipe)
        self.views = Views(**spec.views)
        of_data = {"channels": data.channels, "size": data.size, "classes": len(data.classes)}
        self.networks = [
            Network(each, self.recipe, device, **of_data, teacher=teaching.shapes(), begin=begin)
            for each in spec.members or (spec,)
        ]
        self.sequential = spec.update == "sequential"
        self.teaching.show([layer for each in self.networks for layer in each.objective.teacher_layers])
        self.learner = nn.ModuleList([each.learner for each in self.networks])
        self.optimizers = [each.optimizer for each in self.networks]
        self.pixels = Pixels(data.train.images, device.where, device.room())
        self.labels_N = torch.from_numpy(np.array(data.train.labels)).to(device.where)
        self.mean_C = torch.tensor(data.mean, device=device.where)
        self.std_C = torch.tensor(data.std, device=device.where)
        self.steps = len(batches(np.arange(len(data.train)), self.recipe.batch_size))
        widest = max(len(each.names) for each in self.networks) + 1
        self.losses_SKL = torch.zeros(self.steps, len(self.networks), widest, device=device.where)
        self.at = Position()

    @property
    def model(self) -> nn.Module:
        """The network, where there is one."""
        return self.networks[0].model

    def rows(self, k: int = 0) -> list[Row]:
        """The curve of network `k`: one row an epoch."""
        return [rows[k] for rows in self.at.rows]

    def run(self, state: State, validate: Validate, show: Show, say: Callable[[str], None], every: float) -> None:
        """Train to the last epoch, or until a stop is asked for.

        Args:
            state: Where progress is kept.
            validate: Accuracy of a network on clean validation images; None where it has no answers.
            show: Is called with each epoch's row.
            say: Prints one sentence.
            every: Seconds between saved states; at 0 each step is saved, and the next one waits for it.

        Raises:
            Stopped: A signal asked to stop; the state is saved.
            UserError: A loss is not finite.
        """
        self._restore(state, say)
        if self.at.epoch == self.recipe.epochs:
            say(f"training was finished before: its result is used, {self.at.seconds:.1f} s saved")
            return
        saved = time.monotonic()
        with deferred() as stop_asked, Saver(state, self.device.where) as saver:
            while self.at.epoch < self.recipe.epochs:
                began = time.perf_counter()
                for step in self.epoch():
                    self.at.step = step + 1
                    due = time.monotonic() - saved >= every
                    if stop_asked() or (saver.is_free() and due):
                        self.at.epoch_seconds += self.device.seconds_since(began)
                        self._save(saver)
                        if not every:
                            saver.wait()
                        saved, began = time.monotonic(), time.perf_counter()
                        if stop_asked():
                            saver.wait()
                            raise Stopped(
                                f"stopped in epoch {self.at.epoch + 1}, step {self.at.step}; progress is saved"
                            )
                self.at.epoch_seconds += self.device.seconds_since(began)
                self._check_finite()
                self._finish_epoch([validate(each.model) for each in self.networks], show)
            self._save(saver)
            saver.wait()

    def epoch(self) -> Iterator[int]:
        """Do each step of the current epoch, from the current one on; yield its number once done."""
        for network in self.networks:
            network.train()
        for step, (rows, x_BCHW, heard) in enumerate(self._batches(self.at.step), start=self.at.step):
            self._step(step, x_BCHW, self.labels_N[rows.device_B], heard)
            yield step

    def _batches(self, start: int) -> Iterator[tuple[Rows, Tensor, Heard]]:
        """Rows, pixels and what the teacher says, of each batch of the current epoch from `start` on."""
        count, v = len(self.data.train), self.teaching.view(self.at.epoch)
        drawn = draw(self.views, self.spec.views_seed, self.teaching.stream, v, count, self.data.size)
        drawn = drawn.to(self.device.where)
        shown = batches(order(self.spec.seed, self.at.epoch, count), self.recipe.batch_size)
        left = Rows.on(self.device.where, np.concatenate(shown)).split(len(shown[0]))[start:]
        cuts = cut_ahead(self.pixels, drawn, left, self.mean_C, self.std_C)
        for rows, x_BCHW in zip(left, cuts, strict=True):
            yield rows, x_BCHW, self.teaching.hear(v, rows, x_BCHW)

    def _step(self, step: int, x_BCHW: Tensor, y_B: Tensor, heard: Heard) -> None:
        done, whole = self.at.epoch * self.steps + step, self.recipe.epochs * self.steps
        rate = learning_rate(self.recipe, done, whole)
        for network in self.networks:
            network.look(x_BCHW)
        for k, network in enumerate(self.networks):
            peers = [other.z_BC.detach() for other in self.networks if other is not network]
            losses_L = network.learn(y_B, heard, peers, done / whole, rate)
            # Kept on the device: asking for a number at each step would make the device wait for us.
            self.losses_SKL[step, k, : len(losses_L)] = losses_L
            if self.sequential and network is not self.networks[-1]:
                network.look_again(x_BCHW)

    def _finish_epoch(self, accuracies: Sequence[float | None], show: Show) -> None:
        at = self.at
        means_KL = self.losses_SKL.mean(0).tolist()
        # Not the optimiser's: it has forgotten the rate of a step that was done before training went on.
        last = (at.epoch + 1) * self.steps - 1
        common = {
            "epoch": at.epoch + 1,
            "learning_rate": learning_rate(self.recipe, last, self.recipe.epochs * self.steps),
            "images_per_second": round(self.steps * self.recipe.batch_size / at.epoch_seconds, 1),
        }
        at.rows.append(
            [
                common
                | {"validation_accuracy": accuracy, "loss": means[0]}
                | {f"loss_{name}": mean for name, mean in zip(network.names[1:], means[1:], strict=False)}
                for network, means, accuracy in zip(self.networks, means_KL, accuracies, strict=True)
            ]
        )
        at.seconds += at.epoch_seconds
        at.epoch_seconds = 0.0
        at.epoch += 1
        at.step = 0
        show(at.rows[-1][0])

    def _check_finite(self) -> None:
        """Find the first number that is not finite: its step, and whether a term, the gradient or a weight has it."""
        floating = {name: tensor for name, tensor in self.learner.state_dict().items() if tensor.is_floating_point()}
        # One answer for all of them: the host waits for each that it asks for.
        if torch.stack([each.isfinite().all() for each in (self.losses_SKL, *floating.values())]).all():
            return
        wrong_SKL = ~torch.isfinite(self.losses_SKL)
        if wrong_SKL.any():
            step, k = (int(index) for index in wrong_SKL.any(2).nonzero()[0])
            self._check_teacher(step)
            names = (*self.networks[k].names, "gradient")
            wrong = [name for name, bad in zip(names, wrong_SKL[step, k].tolist(), strict=False) if bad]
            terms = [name for name in wrong if name not in ("loss", "gradient")]
            what = "gradient" if wrong == ["gradient"] else "loss"
            where = "" if what == "gradient" else f" ({', '.join(terms) or 'the total'})"
            raise UserError(
                f"the {what} is not finite at epoch {self.at.epoch + 1}, step {step + 1}{where}: "
                "lower recipe.lr, set recipe.clip, or look at the data"
            )
        for name, tensor in floating.items():
            if not tensor.isfinite().all():
                raise UserError(
                    f"{name} is not finite at the end of epoch {self.at.epoch + 1}, step {self.at.step}: "
                    "lower recipe.lr or set recipe.clip"
                )

    def _check_teacher(self, step: int) -> None:
        """Name the sample of a step's batch to which the teacher gives an answer that is not finite."""
        rows, _, heard = next(self._batches(step))
        if heard.t_BC is None or heard.t_BC.isfinite().all():
            return
        row = int(rows.host_B[int((~heard.t_BC.isfinite()).any(1).nonzero()[0])])
        raise UserError(
            f"the teacher answers row {row} of view {self.teaching.view(self.at.epoch)} with a logit that is not "
            f"finite (epoch {self.at.epoch + 1}, step {step + 1}): its weights are broken, train it with a lower "
            "recipe.lr or set recipe.clip"
        )

    def _environment(self) -> dict[str, Any]:
        return self.device.describe() | {"fused": is_fused(self.device.where)}

    def _save(self, saver: Saver) -> None:
        self._check_finite()
        content = {"environment": self._environment(), "epochs": self.recipe.epochs, "position": vars(self.at)}
        saver.save(collect(self.learner, self.optimizers, self.losses_SKL), content)

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
        restore(body, self.learner, self.optimizers, self.losses_SKL)
        self.at = Position(**saved["position"])
        if self.at.epoch < self.recipe.epochs:
            say(f"going on at epoch {self.at.epoch + 1}, step {self.at.step + 1}")
