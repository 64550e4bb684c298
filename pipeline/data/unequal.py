"""Classes of unequal size: what each counts in the loss, or how often each is drawn.

Legend: N training images, C classes.
"""

import numpy as np

from pipeline.data.generator import generator


def class_weights(labels_N: np.ndarray, classes: int) -> np.ndarray:
    """What an image of each class counts where all classes are to count alike: M / (K n_c), float32 (C,).

    M: images with a label, K: classes that have some, n_c: images of class c. So the mean over these images is 1. A
    class without images has 0. labels_N: int64; -1 is no label.
    """
    count_C = np.bincount(labels_N[labels_N >= 0], minlength=classes)
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
