"""Which images can be answered with a promise: of those at most a share is wrong, said with 95 % confidence.

The best threshold in hindsight proves nothing: of many that are tried, one looks good by luck. Here they are tried in
a fixed order, the surest images first, and the first that fails ends it: whatever the order, a false promise then
needs one test of 5 % to go wrong, and no more.

Legend: N images.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
CLOSE = 1e-6  # probabilities that no runtime is to tell apart: such images are answered together, or not at all
TRIED = 20  # numbers of answered images, each as many times the one before


@dataclass(frozen=True)
class Promise:
    """What is answered, and what that rests on.

    Attributes:
        error: The share of answered images that is wrong at most.
        threshold: The probability from which on an image is answered.
        answered, wrong: Images that it was proven with, and those of them that were wrong.
    """

    error: float
    threshold: float
    answered: int
    wrong: int


def promise(confidence_N: np.ndarray, right_N: np.ndarray, error: float) -> Promise | None:
    """The most images that can be answered with `error` at most; None where that is proven of none.

    Numbers of answered images are tried from the fewest of which one may be wrong, upward, each by Clopper and
    Pearson's bound, which supposes that images are drawn independently. Equally sure ones are answered together.

    Args:
        confidence_N: The probability of the class that is answered.
        right_N: Whether it is right, bool.
        error: Above 0 and below 1.
    """
    found = None
    for each in tries(confidence_N, right_N, error):
        if not proven(each.answered, each.wrong, error):
            break
        found = each
    return found


def tries(confidence_N: np.ndarray, right_N: np.ndarray, error: float) -> Iterator[Promise]:
    """What is tried, in its order, proven or not; nothing where there are too few images. As of `promise`."""
    order = np.argsort(-confidence_N, kind="stable")
    sure_N, wrong_N = confidence_N[order].astype(np.float64), np.cumsum(~right_N[order])
    count, first = len(sure_N), fewest(error)
    if count < first:
        return
    # Where the next image is so much less sure that each runtime sees it; at the last one, whatever comes.
    ends = np.append(np.flatnonzero(sure_N[:-1] - sure_N[1:] > CLOSE), count - 1) + 1
    for tried in np.unique(np.rint(np.geomspace(first, count, TRIED)).astype(int)).tolist():
        answered = int(ends[np.searchsorted(ends, tried)])
        threshold = float(sure_N[answered - 1] + sure_N[answered]) / 2 if answered < count else 0.0
        yield Promise(error, threshold, answered, int(wrong_N[answered - 1]))


def proven(answered: int, wrong: int, error: float) -> bool:
    """Whether so few are wrong that a share above `error` can be ruled out: Clopper and Pearson's bound (1934)."""
    from scipy.special import bdtr

    return float(bdtr(wrong, answered, error)) <= 1 - CONFIDENCE


def fewest(error: float, wrong: int = 1) -> int:
    """How many images must be answered for `wrong` of them to be allowed."""
    low, high = wrong, math.ceil(10 * (wrong + 1) / error)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if proven(middle, wrong, error) else (middle, high)
    return high
