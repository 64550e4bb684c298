"""The `training` section, and the `recipe` of each network that starts from it."""

from typing import ClassVar, Literal

from pipeline.config.effect import Needs
from pipeline.config.extension import OPTIMIZERS, Extended, ExtensionPoint
from pipeline.config.numbers import Amount, Count, Positive, Share


class Recipe(Extended):
    """How one network is trained, objective apart. Warm-up and milestones are shares of all steps.

    Further keys are those that the file of the optimiser declares.
    """

    point: ClassVar[ExtensionPoint] = OPTIMIZERS
    chosen_by: ClassVar[str] = "optimizer"
    NEEDS: ClassVar[Needs] = {"milestones": {"schedule": ("step",)}, "gamma": {"schedule": ("step",)}}
    filled_in: ClassVar[bool] = True

    epochs: Count
    batch_size: Amount
    optimizer: str = "sgd"
    lr: Positive
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    warmup: Share = 0.0
    milestones: tuple[Share, ...] = (0.5, 0.75)
    gamma: Positive = 0.1
    clip: Positive | None = None
