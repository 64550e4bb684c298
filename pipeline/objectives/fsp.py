"""FSP, the flow of the solution procedure: how features change from layer to layer of one network."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.objectives.layers import paired, summed
from pipeline.objectives.windows import largest

LAYERS = "stages"


class Fsp(nn.Module):
    """||G_t - G_s||^2 of the Gram matrices between neighbouring layers of one network, summed over these.

    student_shapes, teacher_shapes: (C, H, W) of two layers or more, in the order of the network. Layers i and
    i+1 have G = 1/(HW) sum_hw f^i_hw (x) f^(i+1)_hw, (C_i, C_(i+1)); the larger map is max-pooled
    to the smaller first (Yim et al. 2017, eq. 1). Student and teacher may differ in resolution.
    `reduction` "mean": mean over batch and entries of G; "sum": the paper's norm (eq. 2), a
    sum over the entries, mean over the batch.

    Deviation: the paper asks for equal widths. A student's layer of another width than the teacher's goes
    through a learned 1x1 convolution without bias; layers of equal width have none.
    """

    def __init__(
        self,
        student_shapes: Sequence[torch.Size],
        teacher_shapes: Sequence[torch.Size],
        *,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> None:
        super().__init__()
        self.reduction = reduction
        self.adapters = nn.ModuleList()
        for number, (student, teacher) in enumerate(paired(student_shapes, teacher_shapes), start=1):
            if len(student) != 3 or len(teacher) != 3:
                raise UserError(
                    f"fsp, pair {number}: student {tuple(student)}, teacher {tuple(teacher)}: "
                    "name layers before the pooling, which give (channels, height, width)"
                )
            same = student[0] == teacher[0]
            self.adapters.append(nn.Identity() if same else nn.Conv2d(student[0], teacher[0], 1, bias=False))
        if len(self.adapters) < 2:
            raise UserError(
                f"fsp: a flow is between two layers, but {len(self.adapters)} pair is named: name 2 or more"
            )

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Scalar loss, float32. student, teacher: maps (B, C, H, W) of the shapes above; the teacher is detached."""
        with torch.autocast(student[0].device.type, enabled=False):
            adapted = [adapter(s.float()) for adapter, s in zip(self.adapters, student, strict=True)]
            s_flows = [_flow(a, b) for a, b in pairwise(adapted)]
            t_flows = [_flow(a.float(), b.float()) for a, b in pairwise(teacher)]
        return summed(self._distance, s_flows, t_flows)

    def _distance(self, s_BCD: Tensor, t_BCD: Tensor) -> Tensor:
        squares_BCD = (t_BCD - s_BCD).square()
        return squares_BCD.mean() if self.reduction == "mean" else squares_BCD.sum() / len(squares_BCD)


def _flow(first_BCHW: Tensor, second_BDHW: Tensor) -> Tensor:
    """Gram matrix between two layers of one network: (B, C, D)."""
    size = (
        min(first_BCHW.shape[2], second_BDHW.shape[2]),
        min(first_BCHW.shape[3], second_BDHW.shape[3]),
    )
    first_BCN = largest(first_BCHW, size).flatten(2)
    second_BDN = largest(second_BDHW, size).flatten(2)
    return first_BCN @ second_BDN.transpose(1, 2) / first_BCN.shape[2]
