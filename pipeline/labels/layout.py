"""In which form labels are stored, and how many views of them there are. Nothing here imports torch.

Legend: N samples of a split, C classes, V views beside the clean one.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from pipeline.base.errors import UserError

HEADER = "labels.json"
BASIS = "basis.safetensors"
DENSE_CLASSES = 256  # the most for which `auto` keeps every logit
LOWRANK_CLASSES = 4096  # the most whose covariance is computed: 134 MB, and a minute

LabelKind = Literal["auto", "dense", "topk", "lowrank"]


@dataclass(frozen=True)
class Format:
    """What is kept of a row of logits.

    Attributes:
        dtype: Of logits, values, rest.
        k: Values of topk and lowrank, 0 < k < C, else None.
        rank: Components of lowrank, 0 < rank < C, else None.
    """

    kind: Literal["dense", "topk", "lowrank"]
    dtype: Literal["float32", "float16"]
    k: int | None = None
    rank: int | None = None

    def as_json(self) -> dict[str, Any]:
        """As a header has it: the rank only where there is one."""
        found = asdict(self)
        if self.rank is None:
            del found["rank"]
        return found


def choose(
    classes: int, compute_dtype: str, kind: LabelKind = "auto", k: int | None = None, rank: int | None = None
) -> Format:
    """The format for `classes` classes and a teacher that computes in `compute_dtype`, such as "bfloat16".

    `auto` is dense up to 256 classes and topk above. Dense loses nothing of the compute type: float32 of a
    float32 teacher, else float16 (whose significand is longer than bfloat16's). Topk, which loses more than
    rounding does, is float16. The default k is TinyViT's share (Wu et al. 2022: 10 of 1,000 classes, about
    100 of 21,841). Lowrank has as many values, and components for an eighth of the classes.

    Raises:
        UserError: `k` is given to dense, `k` or `rank` is not below the number of classes, or these are too many, or
            too few, for lowrank.
    """
    if kind == "dense" and k is not None:
        raise UserError(f"params.yaml: labels.k is {k}, but labels.kind dense keeps all: set k to null")
    if kind == "dense" or (kind == "auto" and classes <= DENSE_CLASSES):
        return Format("dense", "float32" if compute_dtype == "float32" else "float16")
    k = max(10, classes // 200) if k is None else k
    kept = "lowrank" if kind == "lowrank" else "topk"
    if k >= classes:
        raise UserError(
            f"params.yaml: labels.kind {kept} would keep {k} of {classes} classes: "
            f"set labels.k below {classes}, or labels.kind to dense"
        )
    return _lowrank(classes, k, rank) if kept == "lowrank" else Format("topk", "float16", k)


def _lowrank(classes: int, k: int, rank: int | None) -> Format:
    if classes > LOWRANK_CLASSES:
        raise UserError(
            f"params.yaml: labels.kind lowrank takes up to {LOWRANK_CLASSES:,} classes, as it computes their "
            f"covariance, and the data have {classes:,}: set labels.kind to topk"
        )
    rank = max(1, classes // 8) if rank is None else rank
    format = Format("lowrank", "float16", k, rank)
    a_row, dense = (sum(sizes(layout(each, 1, classes)).values()) for each in (format, Format("dense", format.dtype)))
    if rank >= classes or a_row >= dense:
        raise UserError(
            f"params.yaml: labels.kind lowrank with k {k} and rank {rank} takes {a_row} bytes a row, and dense, which "
            f"loses less, {dense}: set labels.k and labels.rank lower, or labels.kind to dense"
        )
    return format


def layout(format: Format, count: int, classes: int) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Type and shape of each array that holds one view of `count` samples."""
    number = np.dtype(format.dtype)
    if format.k is None:
        return {"logits": (number, (count, classes))}
    kept = {
        "values": (number, (count, format.k)),
        "indices": (np.min_scalar_type(classes - 1), (count, format.k)),
    }
    if format.rank is None:
        return {**kept, "rest": (number, (count,))}
    return {**kept, "coefficients": (np.dtype("int8"), (count, format.rank))}


def basis_layout(format: Format, classes: int) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Type and shape of each array that all views of low-rank labels share; of other forms there are none."""
    if format.rank is None:
        return {}
    number = np.dtype("float32")
    return {"basis": (number, (format.rank, classes)), "mean": (number, (classes,))}


def sizes(arrays: Mapping[str, tuple[np.dtype, tuple[int, ...]]]) -> dict[str, int]:
    """Bytes of each array of a layout."""
    return {name: dtype.itemsize * math.prod(shape) for name, (dtype, shape) in arrays.items()}


def distinct_views(
    count: int,
    classes: int,
    *,
    asked: int | None,
    max_bytes: int,
    kind: LabelKind,
    k: int | None,
    rank: int | None = None,
) -> int:
    """V, the number of distinct views of `count` images that every arm of a comparison sees.

    asked: V itself; where it is None, as many as fit `max_bytes` together with the clean one. Logits are counted as
    float32 where `choose` gives that to any machine, so that V depends on params.yaml and the data alone.

    Raises:
        UserError: Not even one view fits, or as of `choose`.
    """
    if asked is not None:
        return asked
    format = choose(classes, "float32", kind, k, rank)
    a_view = sum(sizes(layout(format, count, classes)).values())
    shared = sum(sizes(basis_layout(format, classes)).values())
    if (views := (max_bytes - shared) // a_view - 1) < 1:
        raise UserError(
            f"params.yaml: labels.max_bytes is {max_bytes:,}, but the labels of one view and of the clean images take "
            f"{2 * a_view + shared:,} bytes: raise it, or set labels.views"
        )
    return views
