"""When a chain stops, and which node is best."""

import pytest

from pipeline.lineage.chain import best, stopped


@pytest.mark.parametrize(
    ("accuracies", "patience", "min_gain", "expected"),
    [
        ([0.5], 1, 0.0, False),
        ([0.5, 0.6], 1, 0.0, False),
        ([0.5, 0.5], 1, 0.0, True),
        ([0.5, 0.4], 1, 0.0, True),
        ([0.5, 0.4], 2, 0.0, False),
        ([0.5, 0.4, 0.5], 2, 0.0, True),
        ([0.5, 0.4, 0.51], 2, 0.0, False),
        ([0.5, 0.51], 1, 0.02, True),
        ([0.6, 0.4, 0.5], 1, 0.0, True),  # better than the one before, not than the best
        ([0.5, 0.4, 0.3, 0.2], None, 0.0, False),
    ],
)
def test_stop_rule(accuracies: list[float], patience: int | None, min_gain: float, expected: bool) -> None:
    assert stopped(accuracies, patience, min_gain) is expected


def test_best_is_the_highest_and_ties_go_to_the_earliest() -> None:
    assert best([("g0", 0.5), ("g1", 0.7), ("g2", 0.6)]) == "g1"
    assert best([("g0", 0.7), ("g1", 0.7)]) == "g0"
