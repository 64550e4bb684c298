"""The `training` section, and the `recipe` of each network that starts from it."""

from typing import Literal

from pydantic import Field

from pipeline.config.numbers import Count, NonNegative, Positive, Share
from pipeline.config.section import Section


class Recipe(Section):
    """How one network is trained, objective apart. Warm-up and milestones are shares of all steps."""

    epochs: Count
    batch_size: Count
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: Positive
    momentum: float = Field(default=0.9, strict=True, ge=0, lt=1)
    weight_decay: NonNegative = 0.0
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    warmup: Share = 0.0
    milestones: tuple[Share, ...] = (0.5, 0.75)
    gamma: Positive = 0.1
    clip: Positive | None = None
