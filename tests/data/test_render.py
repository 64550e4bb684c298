"""Views as pixels. Legend: N samples, B batch, C channels, S edge of a view."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from pipeline.config.input import Framing
from pipeline.config.views import PRESETS, Preset, Views
from pipeline.data.drawn import Boxes, Drawn, Mixture
from pipeline.data.render import mix, render
from pipeline.data.resample import resampled
from pipeline.data.trivial import OPERATIONS
from pipeline.data.views import augment, draw, normalise
from tests.data import twins

COUNT = 24
ROWS_N = torch.arange(COUNT)
EVERYTHING = Views(
    shift=2,
    flip=True,
    scale=0.1,
    ratio=1.5,
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.1,
    trivial_augment=True,
    erasing=0.5,
)
MIXED: dict[str, dict[str, Any]] = {
    "mixup": {"mixup": 0.4},
    "cutmix": {"cutmix": 1.0},
    "both": {"mixup": 0.4, "cutmix": 1.0},
}
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")),
]


def batch(channels: int = 3, height: int = 20, width: int = 20) -> np.ndarray:
    """Smooth images with some noise, (N, C, H, W)."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    waves = 110 + 60 * np.sin(y / 3 + generator.random((COUNT, channels, 1, 1)) * 6) * np.cos(x / 4)
    return (waves + generator.integers(0, 60, (COUNT, channels, height, width))).clip(0, 255).astype(np.uint8)


def photographs(channels: int = 3) -> list[np.ndarray]:
    """Images of unequal shapes, as a decoder leaves them: channels last in memory."""
    shapes = [(31 + 7 * (k % 5), 61 - 4 * (k % 9)) for k in range(COUNT)]
    wholes = [batch(channels, *shape)[k] for k, shape in enumerate(shapes)]
    return [np.ascontiguousarray(each.transpose(1, 2, 0)).transpose(2, 0, 1) for each in wholes]


def aspects(images: list[np.ndarray]) -> np.ndarray:
    return np.array([each.shape[2] / each.shape[1] for each in images])


def at(y: int, x: int, h: int, w: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A box of one image."""
    return torch.tensor([y]), torch.tensor([x]), torch.tensor([h]), torch.tensor([w])


def whole(start: float, length: float, edge: int) -> tuple[int, int]:
    pixels = max(1, round(length * edge))
    return min(round(start * edge), edge - pixels), pixels


def slow(image_CHW: np.ndarray, drawn: Drawn, row: int, size: int) -> np.ndarray:
    """One sample, operation by operation, by Pillow and torchvision; of what `EVERYTHING` draws."""
    assert drawn.boxes and drawn.trivial and drawn.jitter and drawn.erased
    _, height, width = image_CHW.shape
    y, h = whole(float(drawn.boxes.y_N[row]), float(drawn.boxes.h_N[row]), height)
    x, w = whole(float(drawn.boxes.x_N[row]), float(drawn.boxes.w_N[row]), width)
    y += round((int(drawn.dy_N[row]) - drawn.shift) * min(height, width) / drawn.edge)
    x += round((int(drawn.dx_N[row]) - drawn.shift) * min(height, width) / drawn.edge)
    view = twins.cut(twins.picture(image_CHW), y, x, h, w, size)
    if drawn.flip_N[row]:
        view = view.transpose(twins.Image.Transpose.FLIP_LEFT_RIGHT)
    view = twins.trivial(view, OPERATIONS[int(drawn.trivial.operation_N[row])], int(drawn.trivial.level_N[row]))
    jitter = drawn.jitter
    names = ("brightness", "contrast", "saturation", "hue")
    values = (jitter.brightness_N, jitter.contrast_N, jitter.saturation_N, jitter.hue_N)
    for number in jitter.order_NK[row].tolist():
        by_N = values[number]
        if by_N is not None and (view.mode == "RGB" or names[number] != "hue"):
            view = twins.jittered(view, names[number], float(by_N[row]))
    result = twins.pixels(view).copy()
    if float(drawn.erased.h_N[row]):
        y, h = whole(float(drawn.erased.y_N[row]), float(drawn.erased.h_N[row]), size)
        x, w = whole(float(drawn.erased.x_N[row]), float(drawn.erased.w_N[row]), size)
        result[:, y : y + h, x : x + w] = 0
    return result


@pytest.mark.parametrize("size", [13, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_all_operations_together_equal_the_slow_twin_at_every_size(channels: int, size: int) -> None:
    images = photographs(channels)
    drawn = draw(EVERYTHING, 0, "labels", 1, COUNT, 40, aspects(images))
    found = render(images, drawn, ROWS_N, size).numpy()
    for row, image_CHW in enumerate(images):
        np.testing.assert_array_equal(found[row], slow(image_CHW, drawn, row, size), err_msg=str(row))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("height", "width"), [(20, 20), (17, 40)])
@pytest.mark.parametrize("size", [7, 20, 45])
def test_a_batch_on_any_device_is_rendered_as_its_images_one_by_one(
    device: str, height: int, width: int, size: int
) -> None:
    images = batch(3, height, width)
    framings: tuple[Framing, ...] = ("crop", "squash", "pad")
    for v, views in enumerate((EVERYTHING, Views(shift=3, flip=True), Views(scale=0.3, shift=2, flip=True), Views())):
        drawn = draw(views, 5, "train", v + 1, COUNT, 20, None if height == width else np.full(COUNT, width / height))
        for framing in framings:
            found = render(torch.from_numpy(images).to(device), drawn, ROWS_N, size, framing, 0.1)
            assert found.device.type == device
            assert torch.equal(found.cpu(), render(list(images), drawn, ROWS_N, size, framing, 0.1))


@settings(deadline=None, max_examples=60)
@given(
    edges=st.tuples(*[st.integers(1, 40)] * 2),
    box=st.tuples(*[st.integers(-30, 60)] * 2, *[st.integers(1, 60)] * 2),
    size=st.integers(1, 40),
)
def test_any_box_is_cut_and_resized_as_pillow_does(
    edges: tuple[int, ...], box: tuple[int, int, int, int], size: int
) -> None:
    image_CHW = batch(3, *edges)[0]
    if max(box[2:]) > max(edges):
        box = (*box[:2], min(box[2], *edges), min(box[3], *edges))
    found = resampled(torch.from_numpy(image_CHW)[None], at(*box), size)[0]
    np.testing.assert_array_equal(found.numpy(), twins.pixels(twins.cut(twins.picture(image_CHW), *box, size=size)))


@pytest.mark.parametrize("size", [16, 33])
def test_resizing_differs_from_torchvisions_by_one_level_at_most(size: int) -> None:
    image_CHW = torch.from_numpy(batch(3, 50, 61)[0])
    found = resampled(image_CHW[None], at(4, 6, 40, 51), size)[0]
    theirs = F.resized_crop(image_CHW, 4, 6, 40, 51, [size, size], antialias=True)
    assert (found.int() - theirs.int()).abs().max() <= 1


@settings(deadline=None, max_examples=25)
@given(
    rows=st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=2 * COUNT),
    threads=st.sampled_from([1, 2, 8]),
)
def test_a_row_is_rendered_the_same_in_any_company_and_by_any_number_of_threads(rows: list[int], threads: int) -> None:
    images = photographs()
    drawn = draw(EVERYTHING, 0, "labels", 4, COUNT, 40, aspects(images))

    def render_rows(rows_B: Tensor) -> Tensor:
        return render([images[row] for row in rows_B.tolist()], drawn, rows_B, 15)

    before = torch.get_num_threads()
    whole_NCSS = render_rows(ROWS_N)
    torch.set_num_threads(threads)
    try:
        assert torch.equal(render_rows(torch.tensor(rows)), whole_NCSS[rows])
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("views", [Views(shift=3, flip=True), Views(flip=True), Views()], ids=str)
def test_square_images_at_their_own_size_are_shifted_and_flipped_as_ever(views: Views) -> None:
    images = torch.from_numpy(batch())
    for v in (0, 3):
        drawn = draw(views, 1, "train", v, COUNT, 20)
        assert drawn.is_plain
        was = augment(images, drawn, ROWS_N, torch.zeros(3), torch.ones(3)) * 255
        assert torch.equal(render(images, drawn, ROWS_N, 20), was.round().byte())


def test_a_resized_crop_of_a_square_image_is_where_it_ever_was() -> None:
    ramp = np.broadcast_to(np.arange(60, dtype=np.uint8) * 4, (COUNT, 60, 60))
    images = torch.from_numpy(np.stack([ramp, ramp.transpose(0, 2, 1)], axis=1).copy())
    drawn = draw(Views(scale=0.2, flip=True), 1, "train", 1, COUNT, 60)
    was = augment(images, drawn, ROWS_N, torch.zeros(2), torch.ones(2)) * 255
    # Whole pixels in place of shares of them: half a pixel at each end, of 4 levels, and rounding.
    found = torch.cat([render(images[:, k : k + 1], drawn, ROWS_N, 60) for k in range(2)], dim=1)
    assert (was - found).abs().max() < 5


def test_two_networks_see_the_very_same_crop() -> None:
    """Where all pixels of a crop are of one colour, and none beside it, both sizes show that colour and no other."""
    drawn = draw(Views(scale=0.1, ratio=1.5, flip=True), 2, "labels", 1, COUNT, 50, np.full(COUNT, 1.4))
    assert drawn.boxes is not None
    images = np.zeros((COUNT, 1, 50, 70), np.uint8)
    for row, image_CHW in enumerate(images):
        y, h = whole(float(drawn.boxes.y_N[row]), float(drawn.boxes.h_N[row]), 50)
        x, w = whole(float(drawn.boxes.x_N[row]), float(drawn.boxes.w_N[row]), 70)
        image_CHW[:, y : y + h, x : x + w] = 200
        image_CHW[:, y, x] = image_CHW[:, y + h - 1, x + w - 1] = 100
    for size in (16, 22, 70):
        view = render(torch.from_numpy(images), drawn, ROWS_N, size)
        assert view.min() >= 100 and (view == 200).float().mean() > 0.5


@pytest.mark.parametrize(
    ("framing", "margin", "box"),
    [
        ("crop", 0.0, (0, 10, 40, 40)),
        ("crop", 0.25, (5, 15, 30, 30)),
        ("squash", 0.0, (0, 0, 40, 60)),
        ("pad", 0.0, (-10, 0, 60, 60)),
    ],
)
def test_the_clean_view_is_framed_as_the_network_wants_it(
    framing: Framing, margin: float, box: tuple[int, int, int, int]
) -> None:
    images = batch(3, 40, 60)
    drawn = draw(EVERYTHING, 0, "labels", 0, COUNT, 40)
    found = render(list(images), drawn, ROWS_N, 24, framing, margin).numpy()
    for row in range(COUNT):
        expected = twins.pixels(twins.cut(twins.picture(images[row]), *box, size=24))
        np.testing.assert_array_equal(found[row], expected)


def test_a_shift_is_as_large_a_share_of_an_image_of_another_size() -> None:
    images = [np.tile(np.arange(edge, dtype=np.uint8), (1, edge, 1)) for edge in (20, 60)]
    drawn = draw(Views(shift=8), 0, "train", 1, 2, 40)
    for row, image_CHW in enumerate(images):
        edge = image_CHW.shape[1]
        moved = round((int(drawn.dx_N[row]) - 8) * edge / 40)
        view = render([image_CHW], drawn, torch.tensor([row]), edge)[0, 0]
        inside = [x + moved for x in range(edge) if 0 <= x + moved < edge]
        assert sorted(set(view.flatten().tolist()) - {0}) == [x for x in inside if x]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", MIXED)
def test_mixing_equals_the_slow_twin(name: str, device: str) -> None:
    """torchvision's mixup of normalised images, and its CutMix: paste a box of the partner."""
    views = Views(flip=True, scale=0.2, **MIXED[name])
    images = torch.from_numpy(batch())
    drawn = draw(views, 0, "labels", 1, COUNT, 20)
    mixed = drawn.mixed
    assert mixed is not None
    size = 16
    own = render(images, drawn, ROWS_N, size)
    here = drawn.of(ROWS_N, torch.device(device)).mixed
    assert here is not None
    found = mix(own.to(device), own[mixed.partner_N].to(device), here).cpu()
    for row in range(COUNT):
        partner = own[int(mixed.partner_N[row])]
        share = float(mixed.share_N[row])
        if mixed.box is None or float(mixed.box.h_N[row]) == 0:
            expected = own[row].double() * share + partner.double() * (1 - share)
        else:
            expected = own[row].double()
            y, h = whole(float(mixed.box.y_N[row]), float(mixed.box.h_N[row]), size)
            x, w = whole(float(mixed.box.x_N[row]), float(mixed.box.w_N[row]), size)
            expected[:, y : y + h, x : x + w] = partner.double()[:, y : y + h, x : x + w]
            # A box is cut at the border first, so that its pixels are its share up to half a pixel at each end.
            assert abs(1 - h * w / size**2 - share) <= 1 / size + 1e-6
        torch.testing.assert_close(found[row].double(), expected, atol=1e-4, rtol=0)
    assert len(mixed.partner_N.unique()) > COUNT / 3


def test_a_row_mixed_with_nothing_is_itself() -> None:
    own, partner = torch.from_numpy(batch()).split(COUNT // 2)
    none = Boxes(*(torch.zeros(len(own), dtype=torch.float64) for _ in range(4)))
    for box in (None, none):
        mixed = Mixture(torch.zeros(len(own), dtype=torch.int64), torch.ones(len(own)), box)
        assert torch.equal(mix(own, partner, mixed), own.float())


def test_augmenting_with_more_than_a_shift_a_flip_and_a_square_crop_is_rendering() -> None:
    images = torch.from_numpy(batch())
    mean_C, std_C = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.4])
    given: list[Preset] = [name for name in PRESETS if name != "none"]
    for preset in given:
        drawn = draw(Views(preset=preset), 0, "labels", 1, COUNT, 20)
        expected = normalise(render(images, drawn, ROWS_N, 20), mean_C, std_C)
        assert torch.equal(augment(images, drawn, ROWS_N, mean_C, std_C), expected)


def test_rendering_changes_none_of_its_inputs() -> None:
    images = batch()
    views: dict[str, Any] = {"mixup": 0.4, "cutmix": 1.0}
    drawn = draw(EVERYTHING.model_copy(update=views), 0, "labels", 1, COUNT, 20)
    kept = images.copy()
    for given_images in (torch.from_numpy(images), list(images)):
        for size in (20, 9):
            first = render(given_images, drawn, ROWS_N, size)
            again = render(given_images, drawn, ROWS_N, size)
            assert torch.equal(first, again)
            first.zero_()
    np.testing.assert_array_equal(images, kept)


def test_a_crop_that_lies_wholly_outside_is_black() -> None:
    still_1 = torch.zeros(1, dtype=torch.int64)
    box = Boxes(*(torch.tensor([each], dtype=torch.float64) for each in (0.0, 0.0, 0.1, 0.1)))
    drawn = Drawn(9, still_1, still_1, torch.tensor([False]), None, boxes=box, edge=10)
    white = np.full((1, 1, 10, 10), 255, np.uint8)
    for images in (torch.from_numpy(white), list(white)):
        assert not render(images, drawn, still_1, 4).any()
    assert math.prod(render(list(white), drawn, still_1, 4).shape) == 16
