"""The digits inside scikit-learn: 1797 images of 8 x 8 pixels."""

import numpy as np

from pipeline.data.images import Source, fitted

# Keys of `data` that mean nothing here.
WITHOUT = ("grayscale", "group", "unreadable", "background", "storage", "store_size")


def load(size: int | None, grayscale: bool) -> Source:
    """All of them: they have no test split of their own."""
    # scikit-learn takes over a second to import: only this source needs it.
    from sklearn.datasets import load_digits

    pixels_NP, labels_N = load_digits(return_X_y=True)
    values_NHW = np.rint(pixels_NP.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)  # the source counts 0..16
    return Source(
        images=fitted(values_NHW, size, grayscale),
        labels=labels_N.astype(np.int64),
        classes=tuple(str(digit) for digit in range(10)),
    )
