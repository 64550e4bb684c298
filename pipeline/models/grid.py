"""Symmetric grids for weights: b bits hold the whole numbers -Q .. Q with Q = 2^(b-1) - 1, times a scale.

One scale an output channel, and the same number of steps below zero as above it: such a grid survives being
multiplied by any factor per channel, negative ones too, so folding batch norm into a quantised layer is exact.

Legend: O output channels, I all else of a weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CLIPS = np.linspace(0.2, 1.0, 33)  # where the grid may end, as shares of a channel's largest weight
REFINEMENTS = 4


@dataclass(frozen=True, eq=False)
class Frozen:
    """What finds the grid of a weight again after a channel was multiplied by whatever factor.

    peaks_O: int64 (O,), the largest absolute whole number that each channel uses.
    """

    bits: int
    peaks_O: np.ndarray

    def scales(self, weights_OI: np.ndarray) -> np.ndarray:
        """The scales, float32 (O,), of weights that lie on the grid; 1 for a channel of zeros."""
        largest_O = np.abs(weights_OI).max(axis=1)
        return np.where(self.peaks_O, largest_O / np.maximum(self.peaks_O, 1), 1).astype(np.float32)


def steps(bits: int) -> int:
    """Q: the largest whole number of a grid of `bits`, 2 .. 8."""
    if not 2 <= bits <= 8:
        raise ValueError(f"grids have 2 to 8 bits, not {bits}")
    return 2 ** (bits - 1) - 1


def round_to(weights_OI: np.ndarray, scales_O: np.ndarray, bits: int) -> np.ndarray:
    """The nearest whole numbers of the grid, int8 (O, I)."""
    top = steps(bits)
    return np.clip(np.rint(weights_OI / scales_O[:, None]), -top, top).astype(np.int8)


def fit_scales(weights_OI: np.ndarray, bits: int) -> np.ndarray:
    """Scales float32 (O,) with the least squared error: the best of a search over clips, then refined.

    Each refinement is least squares for fixed whole numbers: scale = <w, q> / <q, q>. A channel of zeros gets 1.
    """
    weights_OI = weights_OI.astype(np.float64)
    largest_O = np.abs(weights_OI).max(axis=1)
    largest_O[largest_O == 0] = steps(bits)
    best_O, error_O = largest_O / steps(bits), np.full(len(weights_OI), np.inf)
    for clip in CLIPS:
        scales_O = clip * largest_O / steps(bits)
        for _ in range(REFINEMENTS):
            codes_OI = round_to(weights_OI, scales_O, bits).astype(np.float64)
            norm_O = np.square(codes_OI).sum(axis=1)
            fitted_O = (weights_OI * codes_OI).sum(axis=1) / np.where(norm_O, norm_O, 1)
            scales_O = np.where(fitted_O > 0, fitted_O, scales_O)
        rest_OI = weights_OI - scales_O[:, None] * round_to(weights_OI, scales_O, bits)
        found_O = np.square(rest_OI).sum(axis=1)
        better_O = found_O < error_O
        best_O, error_O = np.where(better_O, scales_O, best_O), np.where(better_O, found_O, error_O)
    return best_O.astype(np.float32)
