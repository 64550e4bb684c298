"""Relational knowledge distillation: distances and angles together."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from pipeline.config.numbers import NonNegative
from pipeline.objectives.rkd_angle import rkd_angle
from pipeline.objectives.rkd_distance import rkd_distance

LAYERS = "embedding"
WEIGHT = 2.0
NEEDS = {"metric": {"distance_weight": ">0"}}


def rkd(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    *,
    distance_weight: NonNegative = 1.0,
    angle_weight: NonNegative = 2.0,
    metric: Literal["l2", "l1"] = "l2",
) -> Tensor:
    """distance_weight `rkd_distance` + angle_weight `rkd_angle` on the same layers; float32.

    student, teacher: as there. The weights are those of Park et al. 2019, section 4.1; on
    CIFAR-100, 25 and 50 are usual.
    """
    distance = rkd_distance(student, teacher, metric=metric)
    return distance_weight * distance + angle_weight * rkd_angle(student, teacher)
