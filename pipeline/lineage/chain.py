"""Chains of slots: when one stops rising, and which of its nodes is best."""

from collections.abc import Sequence


def stopped(accuracies: Sequence[float], patience: int | None, min_gain: float) -> bool:
    """Whether the last `patience` generations did not beat the best before them by more than `min_gain`.

    Args:
        accuracies: Validation accuracy of each generation so far, generation 0 first.
        patience: Generations without a gain that are borne; None never stops.
        min_gain: What counts as a gain, as a fraction.
    """
    if patience is None or len(accuracies) <= patience:
        return False
    return max(accuracies[-patience:]) <= max(accuracies[:-patience]) + min_gain


def best(chain: Sequence[tuple[str, float]]) -> str:
    """The node of the highest validation accuracy; ties go to the earliest, the cheaper one."""
    return max(chain, key=lambda pair: pair[1])[0]
