"""Chains of slots: when one stops rising, and which of its nodes is best."""

from collections.abc import Sequence

from pipeline.config.select import Metric


def stopped(figures: Sequence[float], patience: int | None, min_gain: float, metric: Metric) -> bool:
    """Whether the last `patience` generations did not beat the best before them by more than `min_gain`.

    Args:
        figures: Of each generation so far on validation, generation 0 first.
        patience: Generations without a gain that are borne; None never stops.
        min_gain: What counts as a gain, in the metric's own unit: a share of 0 .. 1, or nats.
        metric: What the figures are of.
    """
    if patience is None or len(figures) <= patience:
        return False
    merits = [metric.merit(each) for each in figures]
    return max(merits[-patience:]) <= max(merits[:-patience]) + min_gain


def best(chain: Sequence[tuple[str, float]], metric: Metric) -> str:
    """The best node by its figure on validation; ties go to the earliest, the cheaper one."""
    return max(chain, key=lambda pair: metric.merit(pair[1]))[0]
