"""Symmetric grids for weights: b bits hold the whole numbers -Q .. Q with Q = 2^(b-1) - 1, times a scale.

One scale an output channel, and the same number of steps below zero as above it: such a grid survives being
multiplied by any factor per channel, negative ones too, so folding batch norm into a quantised layer is exact.

Legend: O output channels, I all else of a weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CLIPS = np.linspace(0.2, 1.0, 33)  # where the grid may end, as shares of a channel's largest weight
REFINED = 4  # clips, the most promising ones
REFINEMENTS = 4  # of each
BLOCK = 1 << 15  # weights at a time, which a core's cache holds


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
    rows = max(1, BLOCK // max(1, weights_OI.shape[1]))
    blocks = [_fit_block(weights_OI[i : i + rows], bits) for i in range(0, len(weights_OI), rows)]
    return np.concatenate(blocks) if blocks else np.empty(0, np.float32)


def _fit_block(weights_OI: np.ndarray, bits: int) -> np.ndarray:
    weights_OI = weights_OI.astype(np.float64)
    largest_O = np.abs(weights_OI).max(axis=1)
    largest_O[largest_O == 0] = steps(bits)
    best_O, error_O = largest_O / steps(bits), np.full(len(weights_OI), np.inf)
    for clip_O in _promising(weights_OI / largest_O[:, None], bits):
        scales_O = clip_O * largest_O / steps(bits)
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


def _promising(shares_OI: np.ndarray, bits: int) -> np.ndarray:
    """The clips (K, O), ascending, that leave the least error before they are refined; `shares_OI` is -1 .. 1."""
    if bits == 2:  # with three values refining moves a scale so far that any may turn out best
        return np.repeat(CLIPS[:, None], len(shares_OI), axis=1)
    shares_OI, rest_OI = shares_OI.astype(np.float32), np.empty(shares_OI.shape, np.float32)
    errors_NO = np.empty((len(CLIPS), len(shares_OI)), np.float32)
    for number, clip in enumerate(CLIPS):
        scale = np.float32(clip / steps(bits))
        np.divide(shares_OI, scale, out=rest_OI)
        np.clip(np.rint(rest_OI, out=rest_OI), -steps(bits), steps(bits), out=rest_OI)
        np.subtract(shares_OI, np.multiply(rest_OI, scale, out=rest_OI), out=rest_OI)
        errors_NO[number] = np.square(rest_OI, out=rest_OI).sum(axis=1)
    return CLIPS[np.sort(np.argsort(errors_NO, axis=0, kind="stable")[:REFINED], axis=0)]
