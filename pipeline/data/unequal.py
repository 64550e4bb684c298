"""What does not count alike: classes of unequal size in the loss, and how often classes and images are drawn.

Legend: N training images, C classes.
"""

import math

import numpy as np

from pipeline.base.errors import UserError
from pipeline.data.generator import generator


def class_weights(labels_N: np.ndarray, classes: int, weights_N: np.ndarray | None = None) -> np.ndarray:
    """What an image of each class counts where all classes are to count alike: M / (K n_c), float32 (C,).

    M: images with a label, K: classes that have some, n_c: images of class c. So the mean over these images is 1. A
    class without images has 0. labels_N: int64; -1 is no label. weights_N: how often each image is drawn, where not all
    are drawn alike; M and n_c are then sums of them.
    """
    has_label_N = labels_N >= 0
    drawn_N = None if weights_N is None else weights_N[has_label_N]
    count_C = np.bincount(labels_N[has_label_N], drawn_N, minlength=classes)
    weights_C = np.zeros(classes, np.float32)
    has_C = count_C > 0
    weights_C[has_C] = count_C.sum() / (has_C.sum() * count_C[has_C])
    return weights_C


def balanced_order(seed: int, epoch: int, labels_N: np.ndarray) -> np.ndarray:
    """The rows of that epoch, int64 (N,), with as many of each class as of any other, or one more.

    Of a class with fewer images than its share each comes as often as any other of its class, or once more; of a class
    with more, some are drawn, none twice. Rows without a label (-1) come once each, as in any epoch.
    """
    random = generator(seed, "balanced order", epoch)
    rows = [np.flatnonzero(labels_N == c) for c in np.unique(labels_N[labels_N >= 0])]
    share, rest = divmod(int((labels_N >= 0).sum()), max(1, len(rows)))
    has_more = random.permutation(len(rows)) < rest
    drawn = [np.flatnonzero(labels_N < 0)]
    for own, more in zip(rows, has_more, strict=True):
        times, left = divmod(share + int(more), len(own))
        drawn += [np.tile(own, times), random.permutation(own)[:left]]
    return random.permutation(np.concatenate(drawn))


def weighted_order(seed: int, epoch: int, weights_N: np.ndarray) -> np.ndarray:
    """The rows of that epoch, int64 (N,), each as often as its weight is of the mean one, rounded down or up.

    weights_N: float64, 0 or more. Which rows are drawn once more in an epoch is drawn as in
    systematic sampling: over many epochs each comes exactly as often as its weight says.

    Raises:
        UserError: No weight is above 0.
    """
    if not weights_N.any():
        raise UserError("all images to learn from have the weight 0: give some more in the manifest")
    random = generator(seed, "weighted order", epoch)
    rows_M = random.permutation(np.flatnonzero(weights_N))
    upto_M = np.cumsum(weights_N[rows_M])  # one after the other: a sum in parts would hang on the processor
    count = len(weights_N)
    at_N = np.searchsorted(upto_M, (random.random() + np.arange(count)) * (upto_M[-1] / count), side="right")
    return random.permutation(rows_M[at_N.clip(max=len(rows_M) - 1)])


def balanced_weights(weights_N: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """Weights by which each class is drawn as often as any other, and its images as often as they say; float64 (N,).

    Images without a label are drawn as often as there are of them, among themselves by their weights, too.
    """
    own_N = np.zeros(len(weights_N))
    known = np.unique(labels_N[labels_N >= 0])
    for c in np.unique(labels_N):
        of_N = labels_N == c
        share = of_N.sum() if c < 0 else (labels_N >= 0).sum() / len(known)
        if whole := math.fsum(weights_N[of_N]):  # exact: other sums hang on the processor
            own_N[of_N] = weights_N[of_N] * (share / whole)
    return own_N
