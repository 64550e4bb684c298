"""What the losses on layers share: pairs of layers are checked, and their losses summed."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from pipeline.base.errors import UserError

T = TypeVar("T")


def summed(loss: Callable[[Tensor, Tensor], Tensor], student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Sum of `loss(student layer, teacher layer)` over the pairs of layers, scalar.

    Each tensor has the batch first. The loss gets float32, with autocast off (in bfloat16 small distances
    collapse to 0), and a detached teacher; pairs come in order. No pairs, lists of different length and
    pairs of different batch size are a `UserError`.
    """
    pairs = paired(student, teacher)
    for number, (s, t) in enumerate(pairs, start=1):
        if len(s) != len(t):
            raise UserError(
                f"pair {number} of layers: the student's batch has {len(s)} samples and the teacher's {len(t)}: "
                "both must see the same batch"
            )
    with torch.autocast(student[0].device.type, enabled=False):
        return torch.stack([loss(s.float(), t.detach().float()) for s, t in pairs]).sum()


def pooled(x: Tensor) -> Tensor:
    """One vector a sample, (B, D): the mean over the positions of a map (B, D, H, W), anything else flattened."""
    return x.mean(dim=(2, 3)) if x.ndim == 4 else x.flatten(1)


def paired(student: Sequence[T], teacher: Sequence[T]) -> list[tuple[T, T]]:
    """Layers (or their shapes) of student and teacher, in pairs: as many of the one as of the other, or `UserError`."""
    if not student or len(student) != len(teacher):
        raise UserError(
            f"layers go in pairs, at least one, but the student gives {len(student)} and the teacher {len(teacher)}: "
            "name as many layers of the one as of the other"
        )
    return list(zip(student, teacher, strict=True))
