"""The one training loop, for every method.

The way of one batch: its views are drawn and augmented (`_batches`), the teacher gives its output for the very same
pixels (`teacher.py`), and each network goes forward, has its loss, goes backward, is clipped and steps at the rate of
the schedule (`_learn`). A network, its objective and its optimiser are a learner (`learner.py`); several of them teach
each other. On a GPU `_learn` is recorded and replayed (`replay.py`).

Legend: B batch, C classes, S steps of an epoch, K networks, L losses (their weighted total first, and last the
gradient's largest entry).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.base.curve_row import CurveRow
from pipeline.base.signals import Stopped, deferred
from pipeline.config.input import of_json
from pipeline.config.recipe import Recipe
from pipeline.config.select import metric_of
from pipeline.config.views import Views
from pipeline.data.batches import batches, order
from pipeline.data.drawn import Drawn
from pipeline.data.feed import augment_ahead, fed
from pipeline.data.prepared import Prepared
from pipeline.data.rows import Rows, send
from pipeline.data.unequal import balanced_order, balanced_weights, class_weights, weighted_order
from pipeline.data.views import draw, view_of
from pipeline.models.libraries import versions
from pipeline.models.shown import Shown
from pipeline.objectives.compose import Signals
from pipeline.objectives.hard_labels import Mixed, counts
from pipeline.training.balance import balance
from pipeline.training.batch import Batch
from pipeline.training.checkpoint import Checkpoint, Position
from pipeline.training.curve import epoch_rows
from pipeline.training.device import Device
from pipeline.training.finite import check_finite
from pipeline.training.inputs import supplied
from pipeline.training.kept import best, is_best
from pipeline.training.learned_rows import learned_rows
from pipeline.training.learner import InitWeights, Learner
from pipeline.training.parts import parts
from pipeline.training.probe import Probe, head_of
from pipeline.training.recipe import learning_rate
from pipeline.training.replay import Replay
from pipeline.training.saving import Saver
from pipeline.training.state import State
from pipeline.training.teacher import LiveTeacher, Teacher

if TYPE_CHECKING:
    # The type only: what a spec holds decides a result, not how it is read.
    from pipeline.planning.specs.training import TrainingSettings

Validate = Callable[[nn.Module], Mapping[str, float]]


class Training:
    """Networks on their way, from any saved position to the end.

    Args:
        spec: The `training` part of a spec.
        data: The prepared data.
        teacher: Where logits and features to learn from come from.
        device: Where and how to compute.
        init_weights: Initialises each network, where its weights are not fresh.
    """

    def __init__(
        self,
        spec: TrainingSettings,
        data: Prepared,
        teacher: Teacher,
        device: Device,
        init_weights: InitWeights | None = None,
    ) -> None:
        self.spec = spec
        self.data = data
        self.teacher = teacher
        self.device = device
        self.recipe = Recipe(**spec.recipe)
        self.metric = metric_of(spec.select)
        self.views = Views(**spec.views)
        networks = [*(spec.members or (spec,))]
        self.rows_N = learned_rows([each.objective for each in networks], data.train.labels)
        self.sizes_S = [len(each) for each in batches(self.rows_N, self.recipe.batch_size)]
        inputs = [of_json(each.input) for each in networks]
        shown = Shown([*inputs, *teacher.inputs()], data.mean, data.std, device.where, data.rendering(None))
        teacher.show(shown)
        is_weighted = self.recipe.class_weights is not None
        weights_C = class_weights(data.train.labels, len(data.classes), data.weights) if is_weighted else None
        self.learners = [
            Learner(
                each,
                self.recipe,
                self.sizes_S,
                device,
                channels=data.channels,
                size=supplied(data, input)["size"],
                classes=data.classes,
                teacher=teacher.shapes(),
                init_weights=init_weights,
                show=shown.to(input),
                class_weights_C=None if weights_C is None else torch.from_numpy(weights_C),
            )
            for each, input in zip(networks, inputs, strict=True)
        ]
        self.sequential = spec.update == "sequential"
        self.teacher.tap([layer for each in self.learners for layer in each.objective.teacher_layers])
        self.trained = nn.ModuleList([each.trained for each in self.learners])
        self.optimizers = [each.optimizer for each in self.learners]
        self.inputs = inputs
        self.images = fed(data.train.images, shown.renderings, device.where, device.room())
        self.edge = shown.renderings[0].size if shown.renderings else data.size
        self.labels_N = torch.from_numpy(np.array(data.train.labels)).to(device.where)
        self.all_labelled = bool((np.asarray(data.train.labels)[self.rows_N] >= 0).all())
        self.mean_C, self.std_C = shown.mean_C, shown.std_C
        self.steps = len(self.sizes_S)
        widest = max(len(each.names) for each in self.learners) + 1
        self.losses_SKL = torch.zeros(self.steps, len(self.learners), widest, device=device.where)
        self.probe = self._probe()
        can_record = all(each.now_L is not None for each in self.learners)
        self.learn = Replay(self._learn, device.where, "a training step", can_record)
        self.at = Position()
        libraries = versions([each.architecture or {} for each in networks]) | teacher.libraries
        libraries |= data.renderer or {}
        self.checkpoint = Checkpoint(
            device, self.recipe, self.metric, self.trained, self.optimizers, self.losses_SKL, libraries
        )

    def _probe(self) -> Probe | None:
        """What computes features once, where nothing but a linear head over them learns, and nobody needs pixels."""
        (learner, *peers), layer = self.learners, self.recipe.freeze
        if peers or layer is None or isinstance(self.teacher, LiveTeacher):
            return None
        if (head := head_of(learner, layer, self.data.channels, self.edge)) is None:
            return None
        probe = Probe(learner, layer, head, self.rows_N, max(self.sizes_S), self.views.are_still)
        learner.forward = probe.forward
        return probe

    @property
    def model(self) -> nn.Module:
        """The network, where there is one."""
        return self.learners[0].model

    @property
    def stream(self) -> str:
        """Of views: the one that the teacher labels, where there is a teacher."""
        assert self.spec.stream is not None
        return self.spec.stream

    def view(self, epoch: int) -> int:
        """The view of epoch `epoch` (from 0)."""
        return view_of(epoch, self.spec.distinct_views, self.spec.views_before or 0)

    def order(self, epoch: int) -> np.ndarray:
        """The rows of epoch `epoch` (from 0), as many as it learns from.

        Each is there once, or as many of each class, or each as often as its weight says.
        """
        labels_N, is_balanced = self.data.train.labels[self.rows_N], self.recipe.sampling == "balanced"
        if self.data.weights is not None:
            weights_N = self.data.weights[self.rows_N]
            weights_N = balanced_weights(weights_N, labels_N) if is_balanced else weights_N
            return self.rows_N[weighted_order(self.spec.seed, epoch, weights_N)]
        if is_balanced:
            return self.rows_N[balanced_order(self.spec.seed, epoch, labels_N)]
        return self.rows_N[order(self.spec.seed, epoch, len(self.rows_N))]

    def rows(self, k: int = 0) -> list[CurveRow]:
        """The curve of network `k`: one row an epoch."""
        return [rows[k] for rows in self.at.rows]

    def balanced(self, k: int = 0) -> dict[str, float]:
        """The weights that `balance` found for the terms of network `k`."""
        return self.at.weights[k] if self.at.weights else {}

    def epochs(self, k: int = 0) -> dict[str, int] | None:
        """The epoch whose weights network `k` has, and how many there were; None where validation decides neither."""
        done = self.at.epoch
        kept = best(self.at.figures(self.metric, k), self.metric) if self.recipe.keep == "best" else done
        return {"kept": kept, "trained": done} if self.recipe.chooses else None

    def run(
        self,
        state: State,
        validate: Validate,
        show: Callable[[CurveRow], None],
        log: Callable[[str], None],
        every: float,
        moved: Callable[[int], None] = lambda done: None,
    ) -> None:
        """Train to the last epoch, or until patience is at its end, or a stop is asked for.

        Args:
            state: Where progress is kept.
            validate: Accuracy of a network on clean validation images, and the metric that decides, by name; empty
                where its logits are not trained.
            show: Is called with each epoch's row.
            log: Prints one sentence.
            every: Seconds between saved states; at 0 each step is saved, and the next one waits for it.
            moved: Is called after each step with how many are done, of all epochs.

        Raises:
            Stopped: A signal asked to stop; the state is saved.
            UserError: A loss is not finite.
        """
        self.at = self.checkpoint.restore(state, log)
        if self.at.is_over(self.recipe, self.metric):
            return
        with deferred() as stop_asked, Saver(state, self.device.where, every) as saver:
            while not self.at.is_over(self.recipe, self.metric):
                started = time.perf_counter()
                for step in self.epoch():
                    self.at.step = step + 1
                    moved(self.at.epoch * self.steps + step + 1)
                    if stop_asked() or saver.is_due():
                        self.at.epoch_seconds += self.device.seconds_since(started)
                        self._save(saver)
                        if stop_asked():
                            saver.wait()
                            raise Stopped(f"stopped in epoch {self.at.epoch + 1}, step {step + 1}; progress is saved")
                        started = time.perf_counter()
                self.at.epoch_seconds += self.device.seconds_since(started)
                self._check_finite()
                if self.at.epoch + 1 == self.recipe.epochs or self.recipe.chooses:
                    self._estimate_again()
                figures = [validate(each.final) for each in self.learners]
                names = [each.names for each in self.learners]
                rows = epoch_rows(self.at, self.recipe, names, self.sizes_S, self.losses_SKL, figures, self.metric)
                self.at.end_epoch(rows)
                for k, learner in enumerate(self.learners):
                    if is_best(self.at.figures(self.metric, k), self.metric):
                        learner.keep()
                show(self.at.rows[-1][0])
            if self.at.epoch < self.recipe.epochs:
                log(f"{self.recipe.patience} epochs without a better one in validation: stops after {self.at.epoch}")
            self._save(saver)
            saver.wait()

    def epoch(self) -> Iterator[int]:
        """Do each step of the current epoch, from the current one on; yield its number once done."""
        self._balance()
        for learner in self.learners:
            learner.train()
        for step, batch in enumerate(self._batches(self.at.step), start=self.at.step):
            self._step(step, batch)
            yield step

    def _balance(self) -> None:
        """Give the terms that ask for it the weight that balances them: found before the first step, and saved."""
        self.at.weights = self.at.weights or balance(self.learners, self.opening)
        for learner, weights in zip(self.learners, self.at.weights, strict=True):
            learner.objective.weigh(weights)

    def opening(self, count: int) -> Iterator[Batch]:
        """The first `count` batches in which an image has a label; fewer where the epochs have no more."""
        at = self.at
        yield from islice(self._labelled(max(self.recipe.epochs, math.ceil(count / self.steps))), count)
        self.at = at

    def _labelled(self, epochs: int) -> Iterator[Batch]:
        """The batches of so many epochs, but for those in which no image has a label."""
        labels_N = np.asarray(self.data.train.labels)
        for epoch in range(epochs):
            self.at = Position(epoch)
            for batch in self._batches(0):
                if (labels_N[batch.rows.host_B] >= 0).any():
                    yield batch

    def _drawn(self, epoch: int) -> Drawn:
        """The view of epoch `epoch` (from 0), on the CPU."""
        data, v = self.data, self.view(epoch)
        seed, aspect_N = self.spec.views_seed, data.train.aspect_N
        drawn = draw(self.views, seed, self.stream, v, len(data.train), data.size, aspect_N)
        return drawn.mixed_among(self.rows_N)

    def _mixed(self, drawn: Drawn) -> Mixed | None:
        """What is mixed into each row of the split; None where a row is one image."""
        if drawn.mixed is None:
            return None
        partner_N, share_N = (send(t_N, self.device.where) for t_N in (drawn.mixed.partner_N, drawn.mixed.share_N))
        return Mixed(self.labels_N[partner_N], share_N)

    def _batches(self, start: int) -> Iterator[Batch]:
        """Each batch of the current epoch, from `start` on.

        Of a linear probe what the head is given stands for the pixels.
        """
        v, drawn = self.view(self.at.epoch), self._drawn(self.at.epoch)
        of_split = self._mixed(drawn)
        left = Rows.on(self.device.where, self.order(self.at.epoch)).parts(self.sizes_S)[start:]

        def view(batches: Sequence[Rows]) -> Iterator[Tensor]:
            return augment_ahead(self.images, drawn, batches, self.mean_C, self.std_C)

        shown = self.probe.features(v, left, view) if self.probe else view(left)
        for rows, x_BCHW in zip(left, shown, strict=True):
            at_B = rows.device_B
            mixed = of_split and Mixed(of_split.y_B[at_B], of_split.share_B[at_B])
            yield Batch(rows, x_BCHW, self.labels_N[at_B], self.teacher.output(v, rows, x_BCHW), mixed)

    def _step(self, step: int, batch: Batch) -> None:
        """One step of each network on one batch."""
        done, whole = self.at.epoch * self.steps + step, self.recipe.epochs * self.steps
        # The schedules follow from the number of the step, so nothing of them is saved.
        for learner in self.learners:
            learner.set(learning_rate(self.recipe, done, whole), done / whole, done + 1)
        # Kept on the device: asking for a number at each step would make the device wait for us.
        teacher, mixed = batch.teacher, batch.mixed
        partner = (mixed.y_B, mixed.share_B) if mixed else (None, None)
        for k, losses_L in enumerate(self.learn(batch.x_BCHW, batch.y_B, teacher.t_BC, teacher.features, *partner)):
            self.losses_SKL[step, k, : len(losses_L)] = losses_L

    def _learn(
        self,
        x_BCHW: Tensor,
        y_B: Tensor,
        t_BC: Tensor | None,
        teacher_features: Mapping[str, Tensor],
        partner_B: Tensor | None,
        share_B: Tensor | None,
    ) -> tuple[Tensor, ...]:
        """All networks go forward on one batch, then one after the other learns; the losses (L,) of each.

        partner_B, share_B: y_B and share_B of `Mixed`; None where a row is one image.

        Nothing in it may follow from a number that changes from step to step, unless it is a tensor on the device.
        """
        found: list[Tensor] = []
        mixed = None if partner_B is None or share_B is None else Mixed(partner_B, share_B)
        l_B = None if self.all_labelled else counts(y_B, mixed)
        several = parts(self.recipe.accumulate, x_BCHW, y_B, t_BC, teacher_features, l_B, mixed)
        # Peers are there whole before the first of them learns; of a network alone a part is forgotten once it is done.
        z_PKBC = [[each.forward(part.x_BCHW) for each in self.learners] for part in several if len(self.learners) > 1]
        for k, learner in enumerate(self.learners):
            learner.optimizer.zero_grad(set_to_none=True)
            losses_PL: list[Tensor] = []
            for p, part in enumerate(several):
                # Loss: each term by itself, and what it weighs at this point of the training.
                z_KBC = z_PKBC[p] if z_PKBC else [learner.forward(part.x_BCHW)]
                peers = [z_BC.detach() for other, z_BC in enumerate(z_KBC) if other != k]
                signals = Signals(
                    z_KBC[k],
                    part.y_B,
                    part.t_BC,
                    learner.features,
                    part.features,
                    peers or None,
                    l_B=part.l_B,
                    mixed=part.mixed,
                )
                losses = learner.objective(signals)
                weighted = learner.objective.weighted(losses, learner.weights)
                learner.backward(weighted if len(several) == 1 else [part.share * each for each in weighted])
                with torch.no_grad():
                    losses_PL.append(torch.stack([torch.stack(weighted).sum(), *losses.values()]))
            steepest = learner.steepest()
            if self.recipe.clip is not None:
                nn.utils.clip_grad_norm_(learner.parameters, self.recipe.clip)
            learner.step()
            with torch.no_grad():
                found.append(torch.cat([_mean(losses_PL, [part.share for part in several]), steepest.view(1)]))
            if self.sequential and learner is not self.learners[-1]:
                for part, z_KBC in zip(several, z_PKBC, strict=True):
                    z_KBC[k] = learner.forward_again(part.x_BCHW)
        return tuple(found)

    def _estimate_again(self) -> None:
        """Give BatchNorm the statistics of the last weights, where the steps were too few for running ones.

        Of the first view, whatever was seen last: the same where a training goes on after a kill.
        """
        for learner in self.learners:
            if learner.estimates_again:
                rows = Rows.on(self.device.where, self.order(0)).parts(self.sizes_S)
                learner.estimate_again(augment_ahead(self.images, self._drawn(0), rows, self.mean_C, self.std_C))

    def _check_finite(self) -> None:
        names = [each.names for each in self.learners]
        view = self.view(self.at.epoch)
        check_finite(self.losses_SKL, self.trained, names, self.at, self._batches, view)

    def _save(self, saver: Saver) -> None:
        self._check_finite()
        self.checkpoint.save(saver, self.at)


def _mean(losses_PL: Sequence[Tensor], shares_P: Sequence[float]) -> Tensor:
    """Of the parts of a batch, each by its share."""
    if len(losses_PL) == 1:
        return losses_PL[0]
    return torch.stack([share * losses_L for share, losses_L in zip(shares_P, losses_PL, strict=True)]).sum(0)
