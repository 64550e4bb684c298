"""What is drawn, without a pixel. Legend: N samples, K tries."""

import math
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import RandomErasing, RandomResizedCrop

from pipeline.config.views import Views
from pipeline.data.drawing import of_view
from pipeline.data.drawn import Boxes, Drawn
from pipeline.data.generator import generator
from pipeline.data.trivial import OPERATIONS, SIGNED
from pipeline.data.views import draw

COUNT = 60
KEY = (3, "labels", 2)
ON: dict[str, Any] = {
    "shift": 2,
    "flip": True,
    "scale": 0.1,
    "brightness": 0.4,
    "contrast": 0.3,
    "saturation": 0.2,
    "hue": 0.1,
    "trivial_augment": True,
    "erasing": 0.5,
    "mixup": 0.2,
    "cutmix": 1.0,
}
ALL = Views(**ON, ratio=1.5)


def drawn_of(views: Views, count: int = COUNT, aspect_N: np.ndarray | None = None) -> Drawn:
    return draw(views, *KEY, count, 32, aspect_N)


def numbers(value: Any, name: str = "") -> dict[str, Tensor]:
    """All tensors of what was drawn, by their paths."""
    if isinstance(value, Tensor):
        return {name: value}
    if not is_dataclass(value):
        return {}
    each = [numbers(getattr(value, field.name), f"{name}.{field.name}") for field in fields(value)]
    return {path: tensor for part in each for path, tensor in part.items()}


def corners(boxes: Boxes) -> np.ndarray:
    """y, x, h, w of each row, (N, 4)."""
    return torch.stack([boxes.y_N, boxes.x_N, boxes.h_N, boxes.w_N], dim=1).numpy()


# What a setting decides, by the paths of its numbers: mixup and CutMix share a row between them.
OWN = {"scale": ".zoom", "mixup": ".mixed", "cutmix": ".mixed", "flip": ".flip_N", "shift": ".d"}


@pytest.mark.parametrize("switched", sorted(ON))
def test_no_operation_moves_anothers_numbers(switched: str) -> None:
    """Beside all others, and beside each of them alone."""
    others = {key: value for key, value in ON.items() if key != switched}
    of_colour = f".jitter.{switched}_N"
    for chosen in (others, *({key: value} for key, value in others.items())):
        one, two = (numbers(drawn_of(Views(**asked))) for asked in (chosen, {**chosen, switched: ON[switched]}))
        for path in one.keys() & two.keys():
            if path != of_colour and not path.startswith(OWN.get(switched, "no path")):
                assert torch.equal(one[path], two[path]), f"{switched} moves {path} beside {[*chosen]}"


def test_partners_and_shares_are_those_of_mixup_alone_where_the_coin_falls_so() -> None:
    both, mixup = drawn_of(Views(**ON)).mixed, drawn_of(Views(**{**ON, "cutmix": 0.0})).mixed
    assert both is not None and mixup is not None and both.box is not None and mixup.box is None
    assert torch.equal(both.partner_N, mixup.partner_N)
    by_mixup_N = both.box.h_N == 0
    assert 0.2 < float(by_mixup_N.double().mean()) < 0.8
    assert torch.equal(both.share_N[by_mixup_N], mixup.share_N[by_mixup_N])


@settings(deadline=None, max_examples=20)
@given(st.integers(1, COUNT))
def test_a_rows_numbers_depend_on_no_row_after_it(count: int) -> None:
    aspect_N = np.linspace(0.2, 5, COUNT)
    few, many = numbers(drawn_of(ALL, count, aspect_N[:count])), numbers(drawn_of(ALL, COUNT, aspect_N))
    for path, tensor in few.items():
        if path != ".mixed.partner_N":  # a larger set has more partners
            assert torch.equal(tensor, many[path][:count]), path


def test_another_view_seed_or_stream_has_other_numbers() -> None:
    one = numbers(drawn_of(ALL))
    for key in ((4, "labels", 2), (3, "train", 2), (3, "labels", 3)):
        other = numbers(draw(ALL, *key, COUNT, 32))
        assert one.keys() == other.keys()
        for path in one:
            assert not torch.equal(one[path], other[path]), path


def test_the_clean_view_has_nothing_drawn() -> None:
    assert draw(ALL, 3, "labels", 0, COUNT, 32).is_plain
    assert drawn_of(Views(shift=2, flip=True, scale=0.1)).is_plain
    assert not drawn_of(ALL).is_plain


def slow_box(row: int, area: tuple[float, float], ratio: tuple[float, float], aspect: float) -> tuple[float, ...]:
    """torchvision's `RandomResizedCrop.get_params` of one row, in an image of height 1."""
    first = generator(*KEY).random((COUNT, 6))[row]
    for k in range(10):
        if k == 0:
            u_area, u_ratio = first[3], of_view(*KEY)("ratio").random(COUNT)[row]
        else:
            u_area, u_ratio = of_view(*KEY)("crop", k).random((COUNT, 2))[row]
        share = area[0] + (area[1] - area[0]) * u_area
        wide = math.exp(math.log(ratio[0]) + (math.log(ratio[1]) - math.log(ratio[0])) * u_ratio)
        w, h = math.sqrt(share * aspect * wide), math.sqrt(share * aspect / wide)
        if w <= aspect and h <= 1:
            return first[4] * (1 - h), first[5] * (1 - w / aspect), h, w / aspect
    w, h = aspect, 1.0
    if aspect < ratio[0]:
        h = aspect / ratio[0]
    elif aspect > ratio[1]:
        w = ratio[1]
    return (1 - h) / 2, (1 - w / aspect) / 2, h, w / aspect


@pytest.mark.parametrize("ratio", [1.0, 4 / 3, 3.0])
@pytest.mark.parametrize("scale", [0.08, 0.9])
def test_crops_equal_the_slow_twin(scale: float, ratio: float) -> None:
    aspect_N = np.geomspace(0.1, 10, COUNT)
    boxes = drawn_of(Views(scale=scale, ratio=ratio), aspect_N=aspect_N).boxes
    assert boxes is not None
    expected = [slow_box(row, (scale, 1.0), (1 / ratio, ratio), aspect) for row, aspect in enumerate(aspect_N)]
    np.testing.assert_allclose(corners(boxes), expected, atol=1e-12)


def test_square_crops_of_square_images_are_the_same_with_and_without_a_shape() -> None:
    zoom = drawn_of(Views(scale=0.1)).zoom
    boxes = drawn_of(Views(scale=0.1), aspect_N=np.ones(COUNT)).boxes
    assert zoom is not None and boxes is not None
    torch.testing.assert_close(boxes.h_N.float(), zoom.edge_N)
    torch.testing.assert_close((2 * boxes.y_N + boxes.h_N - 1).float(), zoom.y_N, atol=1e-6, rtol=0)
    torch.testing.assert_close((2 * boxes.x_N + boxes.w_N - 1).float(), zoom.x_N, atol=1e-6, rtol=0)


def test_crops_have_the_law_of_torchvision() -> None:
    count = 20_000
    boxes = drawn_of(Views(scale=0.08, ratio=4 / 3), count, np.full(count, 500 / 375)).boxes
    assert boxes is not None
    torch.manual_seed(0)
    image = torch.zeros(1, 375, 500)
    theirs = np.array([RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(5_000)])
    theirs = theirs / [375, 500, 375, 500]
    for of in (np.mean, np.std):
        np.testing.assert_allclose(of(corners(boxes), axis=0), of(theirs, axis=0), atol=0.012)


def test_erased_boxes_have_the_law_of_torchvision() -> None:
    count = 20_000
    boxes = drawn_of(Views(erasing=0.25), count).erased
    assert boxes is not None
    erased_N = boxes.h_N > 0
    assert abs(float(erased_N.double().mean()) - 0.25) < 0.012
    torch.manual_seed(0)
    image = torch.zeros(1, 1000, 1000)
    drawn = [RandomErasing.get_params(image, (0.02, 0.33), (0.3, 3.3), [0.0]) for _ in range(5_000)]
    theirs = np.array([each[:4] for each in drawn]) / 1000
    for of in (np.mean, np.std):
        np.testing.assert_allclose(of(corners(boxes)[erased_N.numpy()], axis=0), of(theirs, axis=0), atol=0.012)


def test_jitter_is_uniform_in_its_range_and_in_each_order() -> None:
    jitter = drawn_of(Views(brightness=0.4, hue=0.1), 24_000).jitter
    assert jitter is not None and jitter.brightness_N is not None and jitter.hue_N is not None
    assert jitter.contrast_N is None and jitter.saturation_N is None
    for values, middle, strength in ((jitter.brightness_N, 1.0, 0.4), (jitter.hue_N, 0.0, 0.1)):
        assert (values - middle).abs().max() <= strength + 1e-6
        assert abs(float(values.double().mean()) - middle) < 0.03 * strength
        assert abs(float(values.double().std()) - strength / math.sqrt(3)) < 0.02 * strength
    orders, counts = jitter.order_NK.unique(dim=0, return_counts=True)
    assert len(orders) == 24 and all(sorted(each) == [0, 1, 2, 3] for each in orders.tolist())
    assert (counts - 1000).abs().max() < 150


def test_trivial_augment_draws_each_operation_level_and_sign_alike() -> None:
    count = 28_000
    trivial = drawn_of(Views(trivial_augment=True), count).trivial
    assert trivial is not None
    counts = torch.bincount(trivial.operation_N)
    assert len(counts) == 14 and (counts - count / 14).abs().max() < 200
    assert trivial.level_N.abs().max() == 30 and (torch.bincount(trivial.level_N.abs()) - count / 31).abs().max() < 150
    for number, name in enumerate(OPERATIONS):
        negative = (trivial.level_N[trivial.operation_N == number] < 0).double().mean()
        assert abs(float(negative) - (30 / 62 if name in SIGNED else 0)) < 0.05


def test_mixup_shares_have_their_beta_distribution_and_any_row_is_a_partner() -> None:
    count = 30_000
    mixed = drawn_of(Views(mixup=0.2), count).mixed
    assert mixed is not None and mixed.box is None
    assert abs(float(mixed.share_N.mean()) - 0.5) < 0.01
    assert abs(float(mixed.share_N.var()) - 1 / (4 * (2 * 0.2 + 1))) < 0.005
    assert mixed.partner_N.min() >= 0 and mixed.partner_N.max() < count
    assert len(mixed.partner_N.unique()) > 0.6 * count  # 1 - 1 / e of them


def test_a_cutmix_share_is_what_its_box_leaves() -> None:
    count = 30_000
    mixed = drawn_of(Views(cutmix=1.0), count).mixed
    assert mixed is not None and mixed.box is not None
    box = mixed.box
    assert (box.y_N + box.h_N).max() <= 1 and (box.x_N + box.w_N).max() <= 1 and box.y_N.min() >= 0
    torch.testing.assert_close(mixed.share_N.double(), 1 - box.h_N * box.w_N, atol=1e-7, rtol=0)
    # torchvision's CutMix: a box of area 1 - share around a uniform centre, cut at the border.
    cut_N = np.random.default_rng(0)
    edge_N = np.sqrt(1 - cut_N.random(count))
    sides = [np.minimum(c + edge_N / 2, 1) - np.maximum(c - edge_N / 2, 0) for c in cut_N.random((2, count))]
    assert abs(float(mixed.share_N.mean()) - float(np.mean(1 - sides[0] * sides[1]))) < 0.01


def test_the_draws_are_pinned() -> None:
    """Stored labels belong to these: whoever changes them raises `views.SCHEME`."""
    views = draw(ALL, 0, "labels", 1, 4, 32)
    assert views.boxes and views.jitter and views.trivial and views.erased and views.mixed and views.mixed.box
    assert views.jitter.brightness_N is not None and views.jitter.hue_N is not None
    found = {
        "boxes": corners(views.boxes)[0].tolist(),
        "brightness": views.jitter.brightness_N.tolist(),
        "hue": views.jitter.hue_N.tolist(),
        "order": views.jitter.order_NK.flatten().tolist(),
        "operation": views.trivial.operation_N.tolist(),
        "level": views.trivial.level_N.tolist(),
        "erased": views.erased.h_N.tolist(),
        "partner": views.mixed.partner_N.tolist(),
        "share": views.mixed.share_N.tolist(),
    }
    for name, values in PINNED.items():
        assert found[name] == pytest.approx(values, abs=1e-6), name
    assert found.keys() == PINNED.keys()


PINNED: dict[str, list[float]] = {
    "boxes": [0.02264, 0.0269285, 0.9039235, 0.9389371],
    "brightness": [0.7965539, 1.2592318, 1.0303881, 1.2680304],
    "hue": [0.049138, 0.0525484, 0.0235854, 0.0941621],
    "order": [3, 1, 0, 2, 0, 3, 1, 2, 0, 3, 2, 1, 0, 1, 3, 2],
    "operation": [1, 11, 10, 2],
    "level": [23, 4, 11, -25],
    "erased": [0.0, 0.3109195, 0.391915, 0.7769135],
    "partner": [0, 0, 0, 3],
    "share": [0.4830371, 0.748249, 0.5108995, 0.4680527],
}
