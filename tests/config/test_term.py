"""The settings of one term, checked where params.yaml is read and nowhere else."""

from typing import Any

import pytest

from pipeline.base.errors import UserError
from pipeline.config.network import complete_objective
from pipeline.config.term import complete_term


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("soft_target", {}, "did you mean 'soft_targets'"),
        ("compose", {}, "unknown objective 'compose'"),
        ("soft_targets", {"temprature": 2}, r"^objective\.soft_targets: .*did you mean 'temperature'"),
        ("soft_targets", {"temperature": 0}, r"^objective\.soft_targets\.temperature: .*greater than 0, not 0"),
        ("soft_targets", {"weight": -1}, r"^objective\.soft_targets\.weight: .*-1"),
        ("soft_targets", {"weight": "much"}, r"^objective\.soft_targets\.weight: .*'much'"),
        ("soft_targets", {"weight": float("nan")}, r"^objective\.soft_targets\.weight: .*nan"),
        ("soft_targets", {"balance": 0}, r"^objective\.soft_targets\.balance: .*greater than 0, not 0"),
        ("soft_targets", {"balance": 3, "weight": 1}, r"^objective\.soft_targets has weight and balance: .* one of"),
        ("logit_matching", {"reduction": "max"}, r"^objective\.logit_matching\.reduction: .*'sum' or 'mean'"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        complete_term(name, settings, f"objective.{name}")


def test_all_defaults_are_filled_in() -> None:
    common = {"weight": 1.0, "warmup": 0.0, "final": None}
    assert complete_term("soft_targets", {"weight": 2}, "") == common | {"weight": 2.0, "temperature": 4.0}
    assert complete_term("rkd", {}, "")["layers"] == "embedding"
    assert complete_term("rkd", {}, "")["weight"] == 2.0
    assert complete_term("rkd", {"weight": None}, "")["weight"] == 2.0


def test_a_balanced_term_has_no_weight() -> None:
    complete = complete_term("soft_targets", {"balance": 3, "weight": None}, "")
    assert complete == {"balance": 3.0, "warmup": 0.0, "final": None, "temperature": 4.0}
    assert complete_term("soft_targets", complete, "") == complete
    assert complete_objective({"soft_targets": {"balance": 3}}) == {"soft_targets": complete}


def test_complete_settings_stay_as_they_are() -> None:
    """What a spec holds is what was checked: nobody needs to check it again."""
    complete = complete_term("fitnet_hint", {"layers": {"stage1": "stage2"}}, "")
    assert complete_term("fitnet_hint", complete, "") == complete
