"""Which training images a training learns from: all of them, or those that have a label.

Legend: N training images, M of them that are learned from.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pipeline.config.term import needs_labels
from pipeline.data.names import NO_LABEL


def learned_rows(objectives: Iterable[Mapping[str, Any]], labels_N: np.ndarray) -> np.ndarray:
    """The rows, int64 (M,), rising: those with a label where every term of every network takes hard labels.

    objectives: of the networks that learn together. labels_N: int64, `NO_LABEL` where there is none.
    """
    if all(needs_labels(each) for each in objectives):
        return np.flatnonzero(np.asarray(labels_N) != NO_LABEL)
    return np.arange(len(labels_N))
