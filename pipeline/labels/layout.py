"""In which form labels are stored, and how many views of them there are. Nothing here imports torch.

Legend: N samples of a split, C classes, V views beside the clean one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.base.errors import UserError

HEADER = "labels.json"
DENSE_CLASSES = 256  # the most for which `auto` keeps every logit


@dataclass(frozen=True)
class Format:
    """What is kept of a row of logits. dtype: of logits, values, rest; k: of topk, 0 < k < C, else None."""

    kind: Literal["dense", "topk"]
    dtype: Literal["float32", "float16"]
    k: int | None = None


def choose(
    classes: int, compute_dtype: str, kind: Literal["auto", "dense", "topk"] = "auto", k: int | None = None
) -> Format:
    """The format for `classes` classes and a teacher that computes in `compute_dtype`, such as "bfloat16".

    `auto` is dense up to 256 classes and topk above. Dense loses nothing of the compute type: float32 of a
    float32 teacher, else float16 (whose significand is longer than bfloat16's). Topk, which loses more than
    rounding does, is float16. The default k is TinyViT's share (Wu et al. 2022: 10 of 1,000 classes, about
    100 of 21,841).

    Raises:
        UserError: `k` is given to dense, or is not below the number of classes.
    """
    if kind == "dense" and k is not None:
        raise UserError(f"params.yaml: labels.k is {k}, but labels.kind dense keeps all: set k to null")
    if kind == "dense" or (kind == "auto" and classes <= DENSE_CLASSES):
        return Format("dense", "float32" if compute_dtype == "float32" else "float16")
    k = max(10, classes // 200) if k is None else k
    if k >= classes:
        raise UserError(
            f"params.yaml: labels.kind topk would keep {k} of {classes} classes: "
            f"set labels.k below {classes}, or labels.kind to dense"
        )
    return Format("topk", "float16", k)


def layout(format: Format, count: int, classes: int) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Type and shape of each array that holds one view of `count` samples."""
    number = np.dtype(format.dtype)
    if format.k is None:
        return {"logits": (number, (count, classes))}
    return {
        "values": (number, (count, format.k)),
        "indices": (np.min_scalar_type(classes - 1), (count, format.k)),
        "rest": (number, (count,)),
    }


def sizes(arrays: Mapping[str, tuple[np.dtype, tuple[int, ...]]]) -> dict[str, int]:
    """Bytes of each array of a layout."""
    return {name: dtype.itemsize * math.prod(shape) for name, (dtype, shape) in arrays.items()}


def distinct_views(
    count: int,
    classes: int,
    *,
    asked: int | None,
    max_bytes: int,
    kind: Literal["auto", "dense", "topk"],
    k: int | None,
) -> int:
    """V, the number of distinct views of `count` images that every arm of a comparison sees.

    asked: V itself; where it is None, as many as fit `max_bytes` together with the clean one. Logits are counted as
    float32 where `choose` gives that to any machine, so that V depends on params.yaml and the data alone.

    Raises:
        UserError: Not even one view fits, or `k` is as of `choose`.
    """
    if asked is not None:
        return asked
    a_view = sum(sizes(layout(choose(classes, "float32", kind, k), count, classes)).values())
    if (views := max_bytes // a_view - 1) < 1:
        raise UserError(
            f"params.yaml: labels.max_bytes is {max_bytes:,}, but the labels of one view and of the clean images take "
            f"{2 * a_view:,} bytes: raise it, or set labels.views"
        )
    return views
