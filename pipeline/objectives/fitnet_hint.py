"""FitNet's hint: a regressor from the student's guided layer to the teacher's hint layer."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.config.numbers import Count
from pipeline.objectives.layers import paired, summed
from pipeline.objectives.windows import averaged

LAYERS = "stages"
WEIGHT = 5.0


class FitnetHint(nn.Module):
    """1/2 ||f_t - r(f_s)||^2 with a learned r, summed over the pairs of layers (Romero et al. 2015, eq. 3).

    student_shapes, teacher_shapes: one a pair, without the batch: (C, H, W), or (D,), which is a map of one
    position. Each r is a plain convolution with bias, `kernel` x `kernel`, no padding, nothing after it.
    `reduction` "mean": mean over batch, channels and positions; "sum": the paper's norm, a sum over
    channels and positions, mean over the batch.

    Deviation: the paper's r turns one resolution into the other by its kernel, k = N_s - N_t + 1. Where
    `kernel` does not, the larger of r(f_s) and f_t is averaged down to the smaller; with `strict` that
    is a `UserError` instead.
    """

    def __init__(
        self,
        student_shapes: Sequence[torch.Size],
        teacher_shapes: Sequence[torch.Size],
        *,
        kernel: Count = 1,
        reduction: Literal["mean", "sum"] = "mean",
        strict: bool = False,
    ) -> None:
        super().__init__()
        self.reduction = reduction
        self.regressors = nn.ModuleList()
        for number, (student, teacher) in enumerate(paired(student_shapes, teacher_shapes), start=1):
            _check(number, _map(student), _map(teacher), kernel, strict)
            self.regressors.append(nn.Conv2d(student[0], teacher[0], kernel))

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Scalar loss, float32. student, teacher: one tensor a pair, with the batch before the shapes above."""
        with torch.autocast(student[0].device.type, enabled=False):
            guided = [r(_batch(s.float())) for r, s in zip(self.regressors, student, strict=True)]
        return summed(self._distance, guided, [_batch(t) for t in teacher])

    def _distance(self, s_BCHW: Tensor, t_BCHW: Tensor) -> Tensor:
        size = (min(s_BCHW.shape[2], t_BCHW.shape[2]), min(s_BCHW.shape[3], t_BCHW.shape[3]))
        s_BCHW, t_BCHW = averaged(s_BCHW, size), averaged(t_BCHW, size)
        squares = 0.5 * (s_BCHW - t_BCHW).square()
        return squares.mean() if self.reduction == "mean" else squares.sum() / len(squares)


def _map(shape: torch.Size) -> tuple[int, ...]:
    return (*shape, 1, 1) if len(shape) == 1 else tuple(shape)


def _batch(x: Tensor) -> Tensor:
    return x[:, :, None, None] if x.ndim == 2 else x


def _check(number: int, student: tuple[int, ...], teacher: tuple[int, ...], kernel: int, strict: bool) -> None:
    """Refuse a pair that the regressor cannot join, and name what would fit."""
    pair = f"fitnet_hint, pair {number}: student {student}, teacher {teacher}"
    if len(student) != 3 or len(teacher) != 3:
        raise UserError(f"{pair}: name layers that give (channels, height, width) or (features,) a sample")
    if kernel > min(student[1:]):
        raise UserError(f"{pair}: kernel {kernel} is larger than the student's map: at most {min(student[1:])} fits")
    if strict and any(s - kernel + 1 != t for s, t in zip(student[1:], teacher[1:], strict=True)):
        fitting = {s - t + 1 for s, t in zip(student[1:], teacher[1:], strict=True)}
        best = min(fitting)
        remedy = f"kernel {best} would fit" if len(fitting) == 1 and best > 0 else "name layers of equal resolution"
        raise UserError(f"{pair}: kernel {kernel} does not give the teacher's resolution: {remedy}, or not be strict")
