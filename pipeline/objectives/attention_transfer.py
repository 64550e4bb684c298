"""Attention transfer: maps of where a network is active, from the energy of its activations."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from pipeline.base.errors import UserError
from pipeline.config.numbers import Count
from pipeline.objectives.layers import summed
from pipeline.objectives.vectors import unit
from pipeline.objectives.windows import averaged

LAYERS = "stages"


def attention_transfer(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    *,
    p: Count = 2,
    normalisation: Literal["paper", "code"] = "paper",
) -> Tensor:
    """Distance of the unit attention maps Q = sum_c |f_c|^p, summed over the pairs of layers; float32.

    student, teacher: maps (B, C, H, W), of any widths; no gradient reaches the teacher. "paper" is
    ||Q_s/||Q_s|| - Q_t/||Q_t||||_2, mean over the batch (Zagoruyko & Komodakis 2017, eq. 2, whose
    factor beta/2 is the weight of this term); its gradient keeps its length however near the maps are.
    "code" is the squared difference, mean over batch and positions, as in the authors' code, used
    with a weight of 1000 there. Attention maps of different resolution: the larger one
    is averaged down to the smaller (the paper has "interpolated"). Other shapes are a `UserError`.
    """
    return summed(partial(_distance, p=p, squared=normalisation == "code"), student, teacher)


def _distance(s_BCHW: Tensor, t_BCHW: Tensor, p: int, squared: bool) -> Tensor:
    for x in (s_BCHW, t_BCHW):
        if x.ndim != 4:
            raise UserError(
                f"attention_transfer: a layer gives {tuple(x.shape[1:])} a sample, which has no positions: "
                "name layers before the pooling, which give (channels, height, width)"
            )
    s_BHW, t_BHW = s_BCHW.abs().pow(p).sum(dim=1), t_BCHW.abs().pow(p).sum(dim=1)
    size = (min(s_BHW.shape[1], t_BHW.shape[1]), min(s_BHW.shape[2], t_BHW.shape[2]))
    s_BN, t_BN = (unit(averaged(q_BHW, size).flatten(1), dim=1) for q_BHW in (s_BHW, t_BHW))
    if squared:
        return (s_BN - t_BN).square().mean()
    return torch.linalg.vector_norm(s_BN - t_BN, dim=1).mean()
