"""Legend: N samples of a split, B batch, C channels, H = W edge in pixels."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.base.errors import UserError
from pipeline.config.views import Views
from pipeline.data.views import Drawn, Zoom, augment, describe, draw, normalise, view_of

COUNT, EDGE = 40, 7
IMAGES_NCHW = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (COUNT, 3, EDGE, EDGE), dtype=np.uint8))
ROWS_N = torch.arange(COUNT)
MEAN_C, STD_C = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.4, 0.5, 0.6])
ZERO_C, ONE_C = torch.zeros(3), torch.ones(3)

OFF = Views(shift=0, flip=False, scale=1.0)
SHIFT_FLIP = Views(shift=2, flip=True, scale=1.0)
ALL = Views(shift=2, flip=True, scale=0.3)
SOME = pytest.mark.parametrize("views", [OFF, SHIFT_FLIP, ALL], ids=["off", "shift-flip", "all"])
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")),
]


def drawn_of(views: Views, v: int = 1, *, stream: str = "train", seed: int = 3, count: int = COUNT) -> Drawn:
    return draw(views, seed, stream, v, count, EDGE)


def raw(drawn: Drawn, rows_B: Tensor = ROWS_N) -> np.ndarray:
    """Pixels 0..255 before normalisation, (B, C, H, W)."""
    return (augment(IMAGES_NCHW[rows_B], drawn, rows_B, ZERO_C, ONE_C) * 255).numpy()


def slow_shift(drawn: Drawn, row: int) -> np.ndarray:
    """One sample by the book: pad with black, crop, flip."""
    shift = drawn.shift
    padded_CHW = np.pad(IMAGES_NCHW[row].numpy(), ((0, 0), (shift, shift), (shift, shift)))
    dy, dx = int(drawn.dy_N[row]), int(drawn.dx_N[row])
    crop_CHW = padded_CHW[:, dy : dy + EDGE, dx : dx + EDGE]
    return crop_CHW[:, :, ::-1] if drawn.flip_N[row] else crop_CHW


def slow_zoom(image_CHW: np.ndarray, zoom: Zoom, row: int) -> np.ndarray:
    """One resized crop pixel by pixel: its corner in pixels, then a weighted mean of the four neighbours."""
    share = float(zoom.edge_N[row])
    top = ((float(zoom.y_N[row]) + 1) - share) / 2 * EDGE
    left = ((float(zoom.x_N[row]) + 1) - share) / 2 * EDGE
    result_CHW = np.zeros_like(image_CHW, dtype=np.float64)
    for i in range(EDGE):
        for j in range(EDGE):
            y = min(max(top + (i + 0.5) * share - 0.5, 0), EDGE - 1)
            x = min(max(left + (j + 0.5) * share - 0.5, 0), EDGE - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, EDGE - 1), min(x0 + 1, EDGE - 1)
            result_CHW[:, i, j] = (
                image_CHW[:, y0, x0] * (1 - (y - y0)) * (1 - (x - x0))
                + image_CHW[:, y0, x1] * (1 - (y - y0)) * (x - x0)
                + image_CHW[:, y1, x0] * (y - y0) * (1 - (x - x0))
                + image_CHW[:, y1, x1] * (y - y0) * (x - x0)
            )
    return result_CHW


@SOME
def test_view_0_is_the_clean_image_bit_for_bit(views: Views) -> None:
    x_NCHW = augment(IMAGES_NCHW, drawn_of(views, 0), ROWS_N, MEAN_C, STD_C)
    assert torch.equal(x_NCHW, normalise(IMAGES_NCHW, MEAN_C, STD_C))
    np.testing.assert_array_equal(raw(drawn_of(views, 0)).round(), IMAGES_NCHW.numpy())


def test_normalising_is_what_it_says() -> None:
    expected_NCHW = (IMAGES_NCHW.double() / 255 - MEAN_C.double()[:, None, None]) / STD_C.double()[:, None, None]
    torch.testing.assert_close(normalise(IMAGES_NCHW, MEAN_C, STD_C).double(), expected_NCHW, atol=1e-6, rtol=1e-6)


@settings(deadline=None, max_examples=40)  # the first example pays for warming up
@given(shift=st.integers(0, EDGE - 1), flip=st.booleans(), v=st.integers(1, 99))
def test_shift_and_flip_equal_the_slow_twin(shift: int, flip: bool, v: int) -> None:
    drawn = drawn_of(Views(shift=shift, flip=flip, scale=1.0), v)
    expected_NCHW = np.stack([slow_shift(drawn, row) for row in range(COUNT)])
    np.testing.assert_array_equal(raw(drawn).round(), expected_NCHW)


def test_resized_crops_equal_the_slow_twin() -> None:
    drawn = drawn_of(ALL)
    assert drawn.zoom is not None
    expected_NCHW = np.stack([slow_zoom(slow_shift(drawn, row), drawn.zoom, row) for row in range(COUNT)])
    np.testing.assert_allclose(raw(drawn), expected_NCHW, atol=0.01)


@pytest.mark.parametrize("device", DEVICES)
@SOME
def test_a_row_is_cut_the_same_in_any_company(views: Views, device: str) -> None:
    drawn = drawn_of(views, 5).to(torch.device(device))
    images_NCHW, mean_C, std_C = IMAGES_NCHW.to(device), MEAN_C.to(device), STD_C.to(device)

    def cut_rows(rows: list[int]) -> Tensor:
        rows_B = torch.tensor(rows, device=device)
        return augment(images_NCHW[rows_B], drawn, rows_B, mean_C, std_C)

    together_NCHW = cut_rows(list(range(COUNT)))
    shuffled = torch.randperm(COUNT, generator=torch.Generator().manual_seed(0)).tolist()
    assert torch.equal(cut_rows(shuffled), together_NCHW[torch.tensor(shuffled, device=device)])
    for row in range(COUNT):
        assert torch.equal(cut_rows([row])[0], together_NCHW[row])
    assert torch.equal(cut_rows([4, 4, 9]), together_NCHW[torch.tensor([4, 4, 9], device=device)])


@pytest.mark.parametrize("device", DEVICES)
@SOME
def test_devices_agree_and_drawn_may_stay_on_the_cpu(views: Views, device: str) -> None:
    drawn = drawn_of(views, 5)
    x_NCHW = augment(IMAGES_NCHW.to(device), drawn, ROWS_N, MEAN_C.to(device), STD_C.to(device))
    assert x_NCHW.device.type == device
    torch.testing.assert_close(x_NCHW.cpu(), augment(IMAGES_NCHW, drawn, ROWS_N, MEAN_C, STD_C), atol=1e-4, rtol=0)


@SOME
def test_augmenting_changes_none_of_its_inputs(views: Views) -> None:
    images_NCHW, drawn = IMAGES_NCHW.clone(), drawn_of(views)
    x_NCHW = augment(images_NCHW, drawn, ROWS_N, MEAN_C, STD_C)
    x_NCHW.zero_()
    assert torch.equal(images_NCHW, IMAGES_NCHW)
    again = drawn_of(views)
    for before_N, after_N in (
        (drawn.dy_N, again.dy_N),
        (drawn.dx_N, again.dx_N),
        (drawn.flip_N, again.flip_N),
    ):
        assert torch.equal(before_N, after_N)


@pytest.mark.parametrize("views", [SHIFT_FLIP, ALL], ids=["shift-flip", "all"])
def test_the_same_key_gives_the_same_view_and_any_other_key_another(views: Views) -> None:
    first = raw(drawn_of(views, 1))
    np.testing.assert_array_equal(first, raw(drawn_of(views, 1)))
    for other in (drawn_of(views, 2), drawn_of(views, 1, stream="labels"), drawn_of(views, 1, seed=4)):
        differ_N = (raw(other) != first).any(axis=(1, 2, 3))
        assert differ_N.mean() > 0.7


def test_settings_and_count_do_not_move_each_others_draws() -> None:
    drawn, shift_only = drawn_of(ALL), drawn_of(Views(shift=2, flip=False, scale=1.0))
    assert torch.equal(drawn.dy_N, shift_only.dy_N)
    assert torch.equal(drawn.dx_N, shift_only.dx_N)
    assert torch.equal(drawn.flip_N, drawn_of(Views(shift=0, flip=True, scale=1.0)).flip_N)
    assert torch.equal(drawn.dy_N[:9], drawn_of(ALL, count=9).dy_N)


def test_draws_fill_their_range_evenly() -> None:
    count = 20_000
    drawn = draw(Views(shift=3, flip=True, scale=0.25), 0, "train", 1, count, 32)
    assert drawn.zoom is not None
    for offsets_N in (drawn.dy_N, drawn.dx_N):
        shares = torch.bincount(offsets_N) / count
        assert shares.shape == (7,)
        assert (shares - 1 / 7).abs().max() < 0.015
    assert abs(float(drawn.flip_N.float().mean()) - 0.5) < 0.015
    area_N = drawn.zoom.edge_N**2
    assert area_N.min() >= 0.25 - 1e-6
    assert area_N.max() <= 1
    assert abs(float(area_N.mean()) - 0.625) < 0.01
    for centre_N in (drawn.zoom.y_N, drawn.zoom.x_N):
        assert (centre_N.abs() + drawn.zoom.edge_N).max() <= 1 + 1e-6  # every crop lies inside the image
        assert abs(float(centre_N.mean())) < 0.01
    columns = torch.stack([drawn.dy_N, drawn.dx_N, drawn.flip_N, area_N, drawn.zoom.y_N, drawn.zoom.x_N])
    assert (torch.corrcoef(columns) - torch.eye(6)).abs().max() < 0.03


def test_nothing_is_drawn_that_is_switched_off() -> None:
    drawn = drawn_of(OFF)
    assert drawn.zoom is None
    assert not drawn.dy_N.any()
    assert not drawn.dx_N.any()
    assert not drawn.flip_N.any()


def test_padding_is_black_before_normalising() -> None:
    white_1CHW = torch.full((1, 1, EDGE, EDGE), 255, dtype=torch.uint8)
    still_1 = torch.zeros(1, dtype=torch.int64)
    drawn = Drawn(2, still_1, still_1 + 2, torch.tensor([False]), None)
    x_HW = augment(white_1CHW, drawn, still_1, torch.tensor([0.5]), torch.tensor([0.5]))[0, 0]
    assert (x_HW[:2] == -1).all()
    assert (x_HW[2:] == 1).all()


def test_a_shift_as_wide_as_the_image_is_refused() -> None:
    with pytest.raises(UserError, match=r"views.shift is 7 pixels and the images are 7 wide"):
        drawn_of(Views(shift=7, flip=False, scale=1.0))


def test_each_epoch_has_a_view_of_its_own_until_they_come_again_and_none_is_the_clean_image() -> None:
    assert [view_of(epoch, None) for epoch in range(5)] == [1, 2, 3, 4, 5]
    assert [view_of(epoch, 2) for epoch in range(5)] == [1, 2, 1, 2, 1]


def test_weights_that_have_seen_views_go_on_with_others() -> None:
    assert [view_of(epoch, None, 3) for epoch in range(3)] == [4, 5, 6]
    assert [view_of(epoch, 4, 3) for epoch in range(3)] == [4, 1, 2]


def test_the_description_is_json_and_tells_views_apart() -> None:
    described = describe(ALL, 3, "labels", COUNT)
    assert json.loads(json.dumps(described)) == described
    assert described["shift"] == 2
    others = [
        describe(SHIFT_FLIP, 3, "labels", COUNT),
        describe(ALL, 4, "labels", COUNT),
        describe(ALL, 3, "train", COUNT),
        describe(ALL, 3, "labels", COUNT + 1),
    ]
    assert all(other != described for other in others)


def test_the_draw_is_pinned() -> None:
    """Labels in a cache belong to these very crops: whoever changes them raises `views.SCHEME`."""
    drawn = draw(ALL, 0, "labels", 1, 4, EDGE)
    assert drawn.zoom is not None
    assert drawn.dy_N.tolist() == [1, 1, 1, 3]
    assert drawn.dx_N.tolist() == [3, 2, 2, 0]
    assert drawn.flip_N.tolist() == [False, True, False, False]
    assert drawn.zoom.edge_N.tolist() == pytest.approx([0.9438, 0.5761, 0.8324, 0.9778], abs=1e-4)
