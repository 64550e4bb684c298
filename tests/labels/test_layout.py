"""How many views of labels a budget of bytes holds."""

import math
from typing import Any

import pytest

from pipeline.base.errors import UserError
from pipeline.labels.layout import choose, distinct_views, layout

COUNT = 1000


def held(classes: int = 10, **changes: Any) -> int:
    return distinct_views(COUNT, classes, **{"asked": None, "max_bytes": 10**6, "kind": "auto", "k": None, **changes})


def stored(classes: int, precision: str, **form: Any) -> int:
    """Bytes of a view."""
    arrays = layout(choose(classes, precision, **form), COUNT, classes).values()
    return sum(dtype.itemsize * math.prod(shape) for dtype, shape in arrays)


@pytest.mark.parametrize(
    ("classes", "form"), [(10, {}), (300, {}), (300, {"kind": "dense"}), (30, {"kind": "topk", "k": 5})]
)
def test_as_many_views_as_fit_beside_the_clean_one(classes: int, form: dict[str, Any]) -> None:
    a_view = stored(classes, "float32", **form)
    for views in (1, 2, 17):
        assert held(classes, max_bytes=(views + 1) * a_view, **form) == views
        assert held(classes, max_bytes=(views + 2) * a_view - 1, **form) == views


def test_the_form_that_the_machine_computes_in_decides_nothing() -> None:
    """What a GPU would store in half the bytes is counted whole, so that each machine has the same number of views."""
    assert stored(10, "bfloat16") * 2 == stored(10, "float32")
    assert held() == 10**6 // stored(10, "float32") - 1


def test_a_number_stands_whatever_it_takes() -> None:
    assert held(asked=500, max_bytes=1) == 500


def test_a_budget_below_one_view_is_one_sentence() -> None:
    a_view = stored(10, "float32")
    with pytest.raises(
        UserError, match=f"labels.max_bytes is {2 * a_view - 1:,}, but .* take {2 * a_view:,} bytes: raise"
    ):
        held(max_bytes=2 * a_view - 1)
