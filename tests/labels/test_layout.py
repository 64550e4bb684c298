"""How many views of labels a budget of bytes holds."""

import math
from typing import Any

import pytest

from pipeline.base.errors import UserError
from pipeline.labels.layout import LOWRANK_CLASSES, Format, basis_layout, choose, distinct_views, layout

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


def test_the_basis_that_all_views_share_counts_once() -> None:
    form: dict[str, Any] = {"kind": "lowrank", "k": 5, "rank": 10}
    a_view, shared = stored(30, "float32", **form), 4 * 30 * (10 + 1)
    arrays = basis_layout(choose(30, "float32", **form), 30).values()
    assert sum(dtype.itemsize * math.prod(shape) for dtype, shape in arrays) == shared
    for views in (1, 17):
        assert held(30, max_bytes=(views + 1) * a_view + shared, **form) == views
        assert held(30, max_bytes=(views + 2) * a_view + shared - 1, **form) == views
    with pytest.raises(UserError, match=f"take {2 * a_view + shared:,} bytes"):
        held(30, max_bytes=2 * a_view + shared - 1, **form)


@pytest.mark.parametrize(
    ("classes", "form", "expected"),
    [
        (1000, {}, (10, 125)),
        (LOWRANK_CLASSES, {}, (20, 512)),
        (100, {"k": 5, "rank": 20}, (5, 20)),
        (4, {"k": 1, "rank": 2}, (1, 2)),
    ],
)
def test_components_for_an_eighth_of_the_classes(classes: int, form: dict[str, Any], expected: tuple[int, int]) -> None:
    assert choose(classes, "bfloat16", "lowrank", **form) == Format("lowrank", "float16", *expected)


@pytest.mark.parametrize(
    ("classes", "form", "said"),
    [
        (
            LOWRANK_CLASSES + 1,
            {},
            "takes up to 4,096 classes, as it computes their covariance, and the data have 4,097",
        ),
        (10, {}, "lowrank would keep 10 of 10 classes: set labels.k below 10, or labels.kind to dense"),
        (100, {"rank": 100}, "with k 10 and rank 100 takes 130 bytes a row, and dense, which loses less, 200: set"),
        (12, {"k": 6, "rank": 6}, "with k 6 and rank 6 takes 24 bytes a row, and dense, which loses less, 24: set"),
    ],
)
def test_low_rank_labels_that_make_no_sense_are_refused(classes: int, form: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=r"^params\.yaml: labels\.kind lowrank ") as raised:
        choose(classes, "float32", "lowrank", **form)
    assert said in str(raised.value)


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
