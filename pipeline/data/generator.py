"""Random numbers that depend on what they are for, and on nothing drawn before them."""

import numpy as np

from pipeline.base.files import digest


def generator(*key: int | str) -> np.random.Generator:
    """Return a counter-based generator (Philox 4x64) keyed by SHA-256 of `key`: `(seed, "order", epoch)`.

    Equal keys give equal streams; different keys give independent ones, so that no draw shifts another's.
    """
    return np.random.Generator(np.random.Philox(key=int(digest(list(key))[:32], 16)))
