"""What of a training is saved, and put back: only where the same bits would come of it.

Legend: S steps of an epoch, K networks, L losses.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from pipeline.base.curve_row import CurveRow
from pipeline.config.recipe import Recipe
from pipeline.config.select import Metric
from pipeline.training.device import Device
from pipeline.training.imported import version
from pipeline.training.kept import is_over
from pipeline.training.recipe import is_fused
from pipeline.training.saving import Saver
from pipeline.training.snapshot import collect, restore
from pipeline.training.state import State, facts


@dataclass
class Position:
    """Where training stands: what is saved besides tensors.

    `seconds` are those of all steps of finished epochs, `epoch_seconds` of the current one: validating and saving
    are not training. `rows`: for each epoch, one row of the curve a network. `weights`: those that `balance` found, by
    term, for each network.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    rows: list[list[CurveRow]] = field(default_factory=list)
    weights: list[dict[str, float]] = field(default_factory=list)

    def figures(self, metric: Metric, k: int = 0) -> list[float | None]:
        """On validation, of network `k` after each epoch."""
        return [rows[k][metric.column] for rows in self.rows]

    def is_over(self, recipe: Recipe, metric: Metric) -> bool:
        """Whether no epoch is left to train."""
        networks = range(len(self.rows[0]) if self.rows else 0)
        return is_over(recipe, self.epoch, [self.figures(metric, k) for k in networks], metric)

    def end_epoch(self, rows: list[CurveRow]) -> None:
        """Go on to the first step of the next epoch."""
        self.rows.append(rows)
        self.seconds += self.epoch_seconds
        self.epoch_seconds = 0.0
        self.epoch += 1
        self.step = 0


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a training by `recipe` on `device`: `losses_SKL` are those of its current epoch.

    `metric`: the one that tells whether it is over. `libraries`: the versions of what builds networks, where that is no
    code of ours.
    """

    device: Device
    recipe: Recipe
    metric: Metric
    trained: nn.Module
    optimizers: Sequence[Optimizer]
    losses_SKL: Tensor
    libraries: Mapping[str, str] = field(default_factory=dict)

    def save(self, saver: Saver, at: Position) -> None:
        """Save all of it, as it is now."""
        epochs = at.epoch if at.is_over(self.recipe, self.metric) else self.recipe.epochs
        content = {"environment": self._environment(), "epochs": epochs, "position": vars(at)}
        saver.save(collect(self.trained, self.optimizers, self.losses_SKL), content)

    def restore(self, state: State, log: Callable[[str], None]) -> Position:
        """Put back what is saved; where training goes on. Without a saved state that fits, it starts anew."""
        body = state.load(log)
        if body is None:
            return Position()
        saved, now = facts(body), self._environment()
        if changed := other_environment(saved["environment"], now):
            log(f"saved progress is not used: {changed}")
            return Position()
        restore(body, self.trained, self.optimizers, self.losses_SKL)
        at = Position(**saved["position"])
        if not at.is_over(self.recipe, self.metric):
            log(f"going on at epoch {at.epoch + 1}, step {at.step + 1}")
        else:
            log(f"training was finished before: its result is used, {at.seconds:.1f} s saved")
        return at

    def _environment(self) -> dict[str, Any]:
        """What decides the last bits of a result besides the spec."""
        found = self.device.describe() | {"fused": is_fused(self.device.where)} | dict(self.libraries)
        if "." in self.recipe.optimizer:
            found["optimizer"] = version(self.recipe.optimizer)
        return found


def other_environment(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """What of it has changed, in words; None where nothing has."""
    for name, value in now.items():
        if before.get(name) != value:
            return f"{name} was {before.get(name)}, is {value}, and that decides the last bits of a result"
    return None
