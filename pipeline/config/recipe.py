"""The `training` section, and the `recipe` of each network that starts from it."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.config.effect import Needs
from pipeline.config.extension import OPTIMIZERS, Extended, ExtensionPoint
from pipeline.config.numbers import Amount, Between, Count, Positive, Share
from pipeline.config.section import fault


def _optional(default: Any) -> Any:
    """A key that specs do not have at its default: what was trained before there was such a key stays as it is."""
    return Field(default, exclude_if=lambda value: value == default)


class Recipe(Extended):
    """How one network is trained, objective apart. Warm-up and milestones are shares of all steps.

    Further keys are those that the file of the optimiser declares, or arguments of the class that is imported.

    keep: the weights of the last epoch, or of the best one on validation, by the metric of `select`. patience: epochs
    without a better one after which training stops. freeze: a layer; it and all that it is made from do not learn.
    head_lr: of the last layer, in place of `lr`. layer_decay: what `lr` is multiplied by with each layer further from
    the head. decay_norms: whether weight decay concerns biases and the scales of norms. ema: of the weights, how much
    of their moving average a step leaves. accumulate: parts of a batch that go forward and backward one after another.
    class_weights, sampling: where classes are of unequal size, whether each counts alike in the terms on hard labels,
    or comes as often as any other.
    """

    point: ClassVar[ExtensionPoint] = OPTIMIZERS
    chosen_by: ClassVar[str] = "optimizer"
    NEEDS: ClassVar[Needs] = {
        "milestones": {"schedule": ("step",)},
        "gamma": {"schedule": ("step",)},
        "decay_norms": {"weight_decay": ">0"},
    }
    filled_in: ClassVar[bool] = True
    imports: ClassVar[bool] = True

    epochs: Count
    batch_size: Amount
    optimizer: str = "sgd"
    lr: Positive
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    warmup: Share = 0.0
    milestones: tuple[Share, ...] = (0.5, 0.75)
    gamma: Positive = 0.1
    clip: Positive | None = None
    keep: Literal["last", "best"] = _optional("last")
    patience: Count | None = _optional(None)
    freeze: str | None = _optional(None)
    head_lr: Positive | None = _optional(None)
    layer_decay: Between | None = _optional(None)
    decay_norms: bool = _optional(True)
    ema: Between | None = _optional(None)
    accumulate: Count = _optional(1)
    class_weights: Literal["balanced"] | None = _optional(None)
    sampling: Literal["uniform", "balanced"] = _optional("uniform")

    @property
    def chooses(self) -> bool:
        """Whether validation decides anything while training: then each epoch must be measured as the last one is."""
        return self.keep == "best" or self.patience is not None

    @model_validator(mode="after")
    def balance_once(self) -> Self:
        """Rare classes that come more often and count more each time would count too much."""
        if self.class_weights is not None and self.sampling != "uniform":
            raise fault(
                ".class_weights and sampling are both balanced, and each alone makes all classes count alike: leave "
                "one of them out"
            )
        return self
