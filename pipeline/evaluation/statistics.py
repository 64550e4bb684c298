"""Means over seeds, and differences between arms that share their seeds."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.evaluation.flips import HALF, Flips


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


def p_value(a: Sequence[float], b: Sequence[float]) -> float:
    """Student's paired t test of two arms of at least two pairs: two-sided p, 0 .. 1, of no mean difference."""
    from scipy.special import stdtr

    each = summary([x - y for x, y in zip(a, b, strict=True)])
    if not each.deviation:
        return float(each.mean == 0)
    return 2 * float(stdtr(each.count - 1, -abs(each.mean) / each.deviation * math.sqrt(each.count)))


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for their number (Holm 1979), in the same order.

    The k-th smallest of m is multiplied by m - k + 1, is no smaller than those before it, and is 1 at most. Those at
    0.05 or below are claims of which, all together, a false one is made in one study of twenty at most.
    """
    found, largest = [0.0] * len(values), 0.0
    for k, position in enumerate(sorted(range(len(values)), key=lambda each: values[each])):
        largest = max(largest, min(1.0, (len(values) - k) * values[position]))
        found[position] = largest
    return found


def paired_shares(only_a: int, only_b: int, count: int) -> Paired:
    """Compare two networks on the same `count` samples, of which one alone got right `only_a`, the other `only_b`.

    The difference of their accuracies, a - b, its deviation over samples, and its 95 % interval, Tango's. It says how
    sure the difference is for other samples of this kind, and nothing of other seeds. Samples are at least one.
    """
    flips = Flips(count, only_a, only_b)
    deviation = math.sqrt((only_a + only_b) / count - flips.drop**2)
    return Paired(count, flips.drop, deviation, flips.interval)


def unpaired_shares(right_a: int, right_b: int, count: int) -> Paired:
    """Compare two networks on the same `count` samples, of which it is only known how many each gets right.

    The difference of their accuracies and its 95 % interval, as if they had answered different samples: Newcombe's of
    Wilson's bounds (1998, method 10). Of networks that err alike it is wider than that of `paired_shares`.
    """
    a, b = right_a / count, right_b / count
    (low_a, high_a), (low_b, high_b) = wilson(a, count), wilson(b, count)
    below = math.sqrt((a - low_a) ** 2 + (high_b - b) ** 2)
    above = math.sqrt((high_a - a) ** 2 + (b - low_b) ** 2)
    deviation = math.sqrt(a * (1 - a) + b * (1 - b))
    return Paired(count, a - b, deviation, (a - b - below, a - b + above))


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % score interval of a share that was seen in `count` samples, at least one (Wilson 1927)."""
    middle = share + HALF**2 / (2 * count)
    half = HALF * math.sqrt(share * (1 - share) / count + HALF**2 / (4 * count**2))
    return (middle - half) / (1 + HALF**2 / count), (middle + half) / (1 + HALF**2 / count)


def student_t(share: float, freedom: int) -> float:
    """The t within which Student's distribution of `freedom` degrees of freedom has `share`, 0 < share < 1."""
    # Late, as it takes long to import; scipy.stats, which asks the same function, takes twice that.
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + share) / 2))
