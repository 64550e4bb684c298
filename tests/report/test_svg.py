"""Elements, scales and labels of charts."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.svg import Frame, Scale, around, nice, picture, placed, spread, tag, text


def test_what_is_not_ours_is_escaped() -> None:
    drawn = picture("k", 10, 10, "<script>", 'a"b', text(1, 2, "<img src=x onerror=alert(1)>", 'c" onload="x'))
    assert "<script>" not in drawn
    assert "<img" not in drawn
    assert 'onload="' not in drawn
    assert "&lt;img src=x onerror=alert(1)&gt;" in drawn


def test_attributes_are_short_and_named_as_in_svg() -> None:
    assert tag("g", stroke_width=1.50001, class_="a", opacity=None, x=0.123456) == (
        '<g stroke-width="1.5" class="a" x="0.1235"></g>'
    )


def test_scales_map_their_ends() -> None:
    assert [Scale(0.5, 1.0, 100, 0)(v) for v in (0.5, 0.75, 1.0)] == [100, 50, 0]
    assert [round(Scale(1, 100, 0, 10, log=True)(v), 9) for v in (1, 10, 100)] == [0, 5, 10]
    assert Scale(1, 1, 0, 10)(1) == 5


def test_a_frame_draws_to_the_right_and_upwards() -> None:
    frame = Frame(200, 100, left=30, right=10, top=5, bottom=20)
    x, y = frame.x(0, 4), frame.y(0.5, 1)
    assert (x(0), x(4)) == (30, frame.edge) == (30, 190)
    assert (y(0.5), y(1)) == (frame.floor, 5) == (80, 5)


@given(st.floats(-100, 100), st.floats(1e-6, 1e6))
def test_ticks_are_round_and_within(low: float, width: float) -> None:
    scale = Scale(low, low + width, 0, 1)
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 7
    slack = 1e-6 * (width + abs(low))
    assert all(low - slack <= tick <= low + width + slack for tick in ticks)


@given(st.floats(1e-3, 1e9), st.floats(1.1, 1e6))
def test_logarithmic_ticks_are_within(low: float, ratio: float) -> None:
    ticks = Scale(low, low * ratio, 0, 1, log=True).ticks(4)
    assert len(ticks) <= 4
    assert all(low <= tick <= low * ratio * (1 + 1e-9) for tick in ticks)


@pytest.mark.parametrize(("rough", "step"), [(0.013, 0.02), (0.21, 0.25), (1, 1), (3, 5), (70, 100)])
def test_steps_are_nice(rough: float, step: float) -> None:
    assert math.isclose(nice(rough), step)


def test_a_range_has_a_margin_and_ends() -> None:
    assert around([0.5, 0.5], 0.02) == pytest.approx((0.49, 0.51))
    assert around([0.0, 1.0], 0.02, 0, 1) == (0, 1)


@given(st.lists(st.floats(0, 300), min_size=1, max_size=12))
def test_labels_at_line_ends_keep_their_distance_and_order(heights: list[float]) -> None:
    moved = spread(heights, 13)
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    assert all(moved[b] - moved[a] >= 13 - 1e-6 for a, b in itertools.pairwise(order))
    assert sum(moved) == pytest.approx(sum(heights), abs=1e-6)


def test_labels_do_not_touch_and_stay_inside() -> None:
    points = [(50.0, 50.0, "first"), (52.0, 50.0, "second"), (95.0, 80.0, "right"), (50.0, 51.0, "x" * 40)]
    found = placed(points, 100, 100)
    assert found[0] is not None
    assert found[2] is not None
    assert found[2][2] == "end"
    assert found[3] is None
