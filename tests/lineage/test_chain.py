"""When a chain stops, and which node is best."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.select import ACCURACY, METRICS, metric_of
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
    assert stopped(accuracies, patience, min_gain, ACCURACY) is expected
    falling = [1 - each for each in accuracies]
    # A gain of exactly min_gain is none, and 1 - x is rounded.
    assert stopped(falling, patience, min_gain + 1e-12, metric_of("nll")) is expected


def test_best_is_the_highest_and_ties_go_to_the_earliest() -> None:
    assert best([("g0", 0.5), ("g1", 0.7), ("g2", 0.6)], ACCURACY) == "g1"
    assert best([("g0", 0.7), ("g1", 0.7)], ACCURACY) == "g0"
    assert best([("g0", 0.5), ("g1", 0.4), ("g2", 0.6), ("g3", 0.4)], metric_of("nll")) == "g1"


@pytest.mark.parametrize("name", METRICS)
@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(1, 3), st.sampled_from([0.0, 0.1]))
def test_a_chain_has_stopped_exactly_where_its_last_generations_hold_no_gain(
    name: str, figures: list[float], patience: int, min_gain: float
) -> None:
    """By a loop over pairs; the best of a chain is as good as any other."""
    metric = metric_of(name)

    def gain(new: float, old: float) -> float:
        return old - new if name == "nll" else new - old

    chain = [(str(number), figure) for number, figure in enumerate(figures)]
    winner = figures[int(best(chain, metric))]
    assert all(gain(each, winner) <= 0 for each in figures)
    late, early = figures[-patience:], figures[:-patience]
    clear = [gain(new, old) - min_gain for new in late for old in early]
    if all(abs(each) > 1e-12 for each in clear):
        rises = any(all(gain(new, old) > min_gain for old in early) for new in late)
        assert stopped(figures, patience, min_gain, metric) is (bool(early) and not rises)
