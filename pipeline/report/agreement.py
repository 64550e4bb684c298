"""How often networks give the same answer, right or wrong."""

from dataclasses import dataclass

import numpy as np

from pipeline.report.run import Entry, Reported
from pipeline.report.section import PageSection
from pipeline.report.words import percent, shortened

MOST = 18  # networks that a page can show side by side
FIRST = ("teacher", "assistant", "student", "baseline", "direct", "ensemble", "mutual", "compress")


@dataclass(frozen=True)
class Agreement:
    """shares: row i, column j: the share of test images for which both answer the same."""

    entries: list[Entry]
    shares: np.ndarray
    left_out: int

    @property
    def extremes(self) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """The two networks that agree most, and the two that agree least."""
        i, j = np.triu_indices(len(self.entries), 1)
        if not len(i):
            return None
        values = self.shares[i, j]
        most, least = int(values.argmax()), int(values.argmin())
        return (int(i[most]), int(j[most])), (int(i[least]), int(j[least]))


def agreement(run: Reported, most: int = MOST) -> Agreement:
    """The matrix of at most `most` networks, the main ones first, methods by their accuracy."""
    answering = run.by_image
    rank = {name: i for i, name in enumerate(FIRST)}
    by_worth = sorted(answering, key=lambda e: (rank.get(e.family, len(FIRST)), -(e.test or 0.0)))
    kept = {entry.name for entry in by_worth[:most]}
    shown = [entry for entry in answering if entry.name in kept]
    guesses = [run.guesses(entry.name) for entry in shown]
    shares = np.array([[float((a == b).mean()) for b in guesses] for a in guesses])
    return Agreement(shown, shares, len(run.answering) - len(shown))


def section(run: Reported) -> PageSection | None:
    """The matrix, or None of fewer than two networks."""
    found = agreement(run)
    pairs = found.extremes
    if pairs is None:
        return None
    (a, b), (c, d) = pairs
    names = [entry.name for entry in found.entries]
    lead = (
        f"{names[a]} and {names[b]} give the same answer for {percent(found.shares[a, b])} % of the test images, "
        f"{names[c]} and {names[d]} for {percent(found.shares[c, d])} %. "
        "Good networks that disagree make a good ensemble."
    )
    low, high = float(found.shares[c, d]), float(found.shares[a, b])
    depths = (found.shares - low) / (high - low) if high > low else np.full_like(found.shares, 0.5)
    return PageSection(
        "agreement",
        "Who agrees with whom",
        lead,
        {
            "names": [shortened(name, 22) for name in names],
            "families": [entry.family for entry in found.entries],
            "cells": [
                [None if i == j else pair for j, pair in enumerate(zip(shares, deep, strict=True))]
                for i, (shares, deep) in enumerate(zip(found.shares.tolist(), depths.tolist(), strict=True))
            ],
            "left_out": found.left_out,
        },
    )
