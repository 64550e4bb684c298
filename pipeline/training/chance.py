"""A training whose loss is low and whose network guesses: a sentence says so, as no figure after it is of any use."""

import math
from collections.abc import Sequence

import numpy as np

from pipeline.base.curve_row import CurveRow
from pipeline.console.progress import log

LOW = 0.5  # of the first epoch's loss, or of a guess's cross entropy
DEVIATIONS = 2.0


def guessing(labels_N: np.ndarray) -> float:
    """The accuracy up to which nothing is shown to be above naming the largest class: 2 deviations above that."""
    chance = np.bincount(labels_N).max() / len(labels_N)
    return float(chance + DEVIATIONS * math.sqrt(chance * (1 - chance) / len(labels_N)))


def warn_at_chance(node: str, rows: Sequence[CurveRow], labels_N: np.ndarray) -> None:
    """Log one sentence where the last epoch's loss is low and validation is not above naming the largest class.

    rows: of the curve. labels_N: of the validation images.
    """
    last, accuracy = rows[-1], rows[-1]["validation_accuracy"]
    if accuracy is None:
        return
    counts = np.bincount(labels_N)
    guessed = -sum(share * math.log(share) for share in counts[counts > 0] / len(labels_N))
    is_low = last["loss"] <= LOW * rows[0]["loss"] or last.get("loss_cross_entropy", math.inf) <= LOW * guessed
    if is_low and accuracy <= guessing(labels_N):
        log(
            f"{node}: validation accuracy is {100 * accuracy:.1f} %, as by guessing, though the training loss fell "
            f"to {last['loss']:.4f}: what was learned does not hold for other images (too few, wrong labels), or "
            "the network does something else in evaluation (BatchNorm's statistics: train for more steps)"
        )
