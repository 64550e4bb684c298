"""Means over seeds, and differences between arms that share their seeds."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """count values: their mean and their deviation (n - 1 in the denominator; None of a single one)."""

    count: int
    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Paired:
    """Differences a - b, pair by pair: mean, deviation, 95 % interval of the mean (None of a single pair)."""

    count: int
    mean: float
    deviation: float | None
    interval: tuple[float, float] | None


def summary(values: Sequence[float]) -> Summary:
    """Mean and deviation of at least one value."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Summary(len(values), statistics.fmean(values), deviation)


def paired(a: Sequence[float], b: Sequence[float]) -> Paired:
    """Compare two arms of which pair i shares its seed: mean difference a - b, and Student's t interval.

    The interval is mean -+ t(0.975, n - 1) * deviation / sqrt(n); it supposes normal differences.
    """
    each = summary([x - y for x, y in zip(a, b, strict=True)])
    if each.deviation is None:
        return Paired(each.count, each.mean, None, None)
    half = student_t(0.95, each.count - 1) * each.deviation / math.sqrt(each.count)
    return Paired(each.count, each.mean, each.deviation, (each.mean - half, each.mean + half))


def paired_shares(only_a: int, only_b: int, count: int) -> Paired:
    """Compare two networks on the same `count` samples, of which one alone got right `only_a`, the other `only_b`.

    The difference of their accuracies, a - b, and its 95 % interval: Wald's of McNemar's table after half a
    sample was added to each of its four cells (Agresti & Min 2005, section 3). It says how sure the difference
    is for other samples of this kind, and nothing of other seeds. Samples are at least one.
    """
    mean = (only_a - only_b) / count
    a, b, n = only_a + 0.5, only_b + 0.5, count + 2
    centre = (a - b) / n
    deviation = math.sqrt((a + b) / n - centre**2)
    half = 1.959964 * deviation / math.sqrt(n)
    return Paired(count, mean, deviation, (centre - half, centre + half))


def student_t(share: float, freedom: int) -> float:
    """The t within which Student's distribution of `freedom` degrees of freedom has `share`, 0 < share < 1."""
    # Late, as it takes long to import; scipy.stats, which asks the same function, takes twice that.
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + share) / 2))
