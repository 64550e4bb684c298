"""An architecture as wide as a budget allows."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.errors import UserError
from pipeline.evaluation import cost
from pipeline.models.budget import WIDTHS, fit_width
from pipeline.models.build import build

DATA = {"channels": 1, "size": 16, "classes": 10}
FAMILIES: list[dict[str, Any]] = [
    {"family": "plain", "widths": [4, 8]},
    {"family": "residual", "depth": 8},
    {"family": "wide", "depth": 10},
    {"family": "separable", "widths": [4, 8, 16]},
    {"family": "separable", "kind": "grouped", "widths": [8, 16], "groups": 4},
    {"family": "separable", "kind": "bottleneck", "widths": [4, 8]},
]


def count(architecture: dict[str, Any], measure: str = "parameters") -> int:
    net = build(architecture, **DATA)
    return cost.parameters(net) if measure == "parameters" else cost.flops(net, DATA["channels"], DATA["size"])


def widest(architecture: dict[str, Any]) -> int:
    value = next(architecture[key] for key in WIDTHS if architecture.get(key))
    return value if isinstance(value, int) else max(value)


def wider(found: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """One step wider than what was found: a channel more in the widest stage, or one more a group."""
    key = next(key for key in WIDTHS if found.get(key))
    if isinstance(found[key], int):
        return {**found, key: found[key] + 1}
    unit = found["groups"] if found.get("kind") == "grouped" else 1
    step = max(found[key]) // unit + 1
    return {**found, key: [unit * round(step * each / max(given[key])) for each in given[key]]}


@pytest.mark.parametrize("architecture", FAMILIES, ids=str)
@pytest.mark.parametrize(("measure", "limit"), [("parameters", 100_000), ("flops", 50_000_000)])
def test_the_width_fits_and_the_next_one_does_not(architecture: dict[str, Any], measure: str, limit: int):
    found = fit_width(architecture, **DATA, **{measure: limit})
    assert 0.3 * limit < count(found, measure) <= limit
    assert count(wider(found, architecture), measure) > limit
    assert {key: found[key] for key in architecture if key not in WIDTHS} == {
        key: architecture[key] for key in architecture if key not in WIDTHS
    }


def test_the_width_is_the_last_that_fits_whatever_the_budget():
    """By trying each."""
    for limit in (60, 200, 600):
        width = 1
        while count({"family": "plain", "widths": [width + 1, width + 1]}) <= limit:
            width += 1
        assert fit_width({"family": "plain", "widths": [1, 1]}, **DATA, parameters=limit)["widths"] == [width, width]


def test_proportions_are_kept():
    found = fit_width({"family": "plain", "widths": [4, 8, 16]}, **DATA, parameters=50_000)
    narrow, middle, wide = found["widths"]
    assert narrow == round(wide / 4)
    assert middle == round(wide / 2)


def test_of_two_limits_both_hold():
    architecture = {"family": "residual", "depth": 8}
    by_parameters = fit_width(architecture, **DATA, parameters=50_000)["width"]
    by_flops = fit_width(architecture, **DATA, flops=3_000_000)["width"]
    both = fit_width(architecture, **DATA, parameters=50_000, flops=3_000_000)["width"]
    assert by_parameters != by_flops
    assert both == min(by_parameters, by_flops)


@settings(max_examples=15, deadline=None)
@given(st.integers(400, 200_000), st.integers(1, 50_000))
def test_a_larger_budget_is_never_narrower(limit: int, more: int):
    architecture = {"family": "separable", "widths": [2, 4]}
    small = fit_width(architecture, **DATA, parameters=limit)
    assert widest(small) <= widest(fit_width(architecture, **DATA, parameters=limit + more))


def test_finding_draws_nothing():
    before = torch.random.get_rng_state()
    fit_width({"family": "plain", "widths": [4, 8]}, **DATA, parameters=5_000)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("architecture", "limits", "message"),
    [
        ({"family": "plain", "widths": [4, 8]}, {"parameters": 3}, "even the narrowest such network has 4. parameters"),
        ({"family": "plain", "widths": [4, 8]}, {"flops": 3}, "even the narrowest such network has .* flops"),
        ({"family": "plain", "widths": [4, 8]}, {}, "give one of them, or both"),
        ({"family": "plain", "depth": 4}, {"parameters": 5_000}, "family 'plain' is given without widths"),
        ({"family": "plane"}, {"parameters": 5_000}, "did you mean 'plain'"),
    ],
)
def test_a_budget_that_cannot_be_is_named(architecture: dict[str, Any], limits: dict[str, int], message: str):
    with pytest.raises(UserError, match=message):
        fit_width(architecture, **DATA, **limits)
