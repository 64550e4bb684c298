"""What a step learns from.

Legend: B batch, C channels, H = W edge in pixels.
"""

from dataclasses import dataclass

from torch import Tensor

from pipeline.data.rows import Rows
from pipeline.objectives.hard_labels import Mixed
from pipeline.training.teacher import TeacherOutput


@dataclass(frozen=True)
class Batch:
    """Rows, what networks are fed of them, their hard labels, and what the teacher gives.

    x_BCHW: As of `data.feed.augment_ahead`. mixed: As of `Signals`.
    """

    rows: Rows
    x_BCHW: Tensor
    y_B: Tensor
    teacher: TeacherOutput
    mixed: Mixed | None = None
