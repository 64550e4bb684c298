"""How logits become the arrays that are stored, and back.

dense: `logits` (N, C), raw. topk: `values` (N, k), the largest raw logits; `indices` (N, k), their classes,
in the smallest unsigned type; `rest` (N,), the logit which, given to each of the C - k other classes, gives
them together the probability that they had: log(sum of exp of the others / (C - k)). lowrank: `values` and `indices`
as of topk; `coefficients` (N, r), whole numbers, of which the basis that all views share gives the other logits (see
`pipeline.labels.basis`): all below the least value that is kept.

Legend: N samples of a split, B batch, C classes, K values kept a row.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from pipeline.labels.basis import Basis
from pipeline.labels.layout import Format

HALF_LIMIT = torch.finfo(torch.float16).max


def encode(logits_BC: Tensor, format: Format, basis: Basis | None = None) -> dict[str, Tensor]:
    """What is stored of finite logits, on their device; indices in int64 still. basis: of lowrank.

    Among equal logits the first class is kept. float16 ends at 65504: a row that goes beyond is first shifted
    to have its greatest logit at 0, which its probabilities do not notice, then clamped below.
    """
    logits_BC = logits_BC.float()
    if format.dtype == "float16":
        top_B1 = logits_BC.amax(1, keepdim=True)
        beyond_B1 = logits_BC.abs().amax(1, keepdim=True) > HALF_LIMIT
        logits_BC = torch.where(beyond_B1, logits_BC - top_B1, logits_BC).clamp(min=-HALF_LIMIT)
    dtype = getattr(torch, format.dtype)
    if format.k is None:
        return {"logits": logits_BC.to(dtype)}
    # A stable sort rather than topk: which of two equal logits is kept must not depend on the machine.
    sorted_BC, classes_BC = logits_BC.sort(dim=1, descending=True, stable=True)
    kept = {"values": sorted_BC[:, : format.k].to(dtype), "indices": classes_BC[:, : format.k]}
    if basis is not None:
        return {**kept, "coefficients": basis.coefficients(logits_BC)}
    others_BC = sorted_BC[:, format.k :]
    rest_B = others_BC.logsumexp(1) - math.log(others_BC.shape[1])
    return {**kept, "rest": rest_B.to(dtype)}


def decode(arrays: Mapping[str, np.ndarray], rows_B: np.ndarray, classes: int, basis: Basis | None = None) -> Tensor:
    """Float32 logits (B, C) of some rows of what `layout` describes, in memory of their own. basis: of lowrank."""

    def gather(name: str, dtype: type[np.generic] = np.float32) -> Tensor:
        # take: indexing with an array does the same in twice the time.
        return torch.from_numpy(arrays[name].take(rows_B, axis=0).astype(dtype, copy=False))

    if "logits" in arrays:
        return gather("logits")
    values_BK, indices_BK = gather("values"), gather("indices", np.int64)
    if basis is not None:
        others_BC = basis.logits(gather("coefficients", np.float64))
        below_B1 = torch.nextafter(values_BK.amin(1, keepdim=True), torch.tensor(-math.inf))
        others_BC = torch.minimum(others_BC, below_B1)
    else:
        others_BC = gather("rest")[:, None].repeat(1, classes)
    return others_BC.scatter_(1, indices_BK, values_BK)
