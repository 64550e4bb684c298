"""A batch in even parts, which go forward and backward one after the other.

Legend: B batch, C channels of images, or classes of logits, H = W edge in pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.objectives.hard_labels import Mixed


@dataclass(frozen=True)
class BatchPart:
    """Some images of a batch, their share of it, their hard labels, and what the teacher says of them.

    l_B, mixed: As of `Signals`; l_B stays that of the whole batch.
    """

    share: float
    x_BCHW: Tensor
    y_B: Tensor
    t_BC: Tensor | None
    features: Mapping[str, Tensor]
    l_B: Tensor | None = None
    mixed: Mixed | None = None


def parts(
    count: int,
    x_BCHW: Tensor,
    y_B: Tensor,
    t_BC: Tensor | None,
    features: Mapping[str, Tensor],
    l_B: Tensor | None = None,
    mixed: Mixed | None = None,
) -> list[BatchPart]:
    """The batch in `count` parts that differ by one image at most; in one, as it is.

    The gradient of a mean over the batch is the sum of those of the parts, each times its share.
    """
    if count == 1:
        return [BatchPart(1.0, x_BCHW, y_B, t_BC, features, l_B, mixed)]
    found = []
    for rows_B in torch.arange(len(y_B)).tensor_split(count):
        own = slice(int(rows_B[0]), int(rows_B[-1]) + 1)
        found.append(
            BatchPart(
                len(rows_B) / len(y_B),
                x_BCHW[own],
                y_B[own],
                None if t_BC is None else t_BC[own],
                {name: each[own] for name, each in features.items()},
                None if l_B is None else l_B[own],
                mixed and Mixed(mixed.y_B[own], mixed.share_B[own]),
            )
        )
    return found
