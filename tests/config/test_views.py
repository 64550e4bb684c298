"""The `views` section: a word and what differs, and what of it decides a view."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.config import params
from pipeline.config.views import PRESETS, Views
from pipeline.data.views import describe
from tests.test_fuzz import GIVEN

ON: dict[str, Any] = {
    "ratio": 1.5,
    "brightness": 0.1,
    "contrast": 0.1,
    "saturation": 0.1,
    "hue": 0.1,
    "trivial_augment": True,
    "erasing": 0.1,
    "mixup": 0.1,
    "cutmix": 0.1,
}


def test_what_labels_were_stored_with_is_described_as_ever() -> None:
    described = {"scheme": 1, "seed": 3, "stream": "labels", "count": 9, "shift": 2, "flip": True, "scale": 0.5}
    assert describe(Views(shift=2, flip=True, scale=0.5), 3, "labels", 9) == described
    assert Views().model_dump(mode="json") == {"shift": 0, "flip": False, "scale": 1.0}


def test_every_operation_that_is_on_is_described() -> None:
    assert {"preset", "shift", "flip", "scale", *ON} == set(Views.model_fields)
    for key, value in ON.items():
        assert Views(**{"scale": 0.5, key: value}).model_dump()[key] == value


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_what_it_gives_and_only_that_decides(name: Any) -> None:
    views = Views(preset=name)
    assert views.changed == PRESETS[name] and not views.mixes
    assert Views(**PRESETS[name]).model_dump() == views.model_dump()
    assert Views(**views.model_dump()).model_dump() == views.model_dump()


def test_what_is_given_beside_a_preset_counts() -> None:
    views = Views(preset="standard", flip=False, shift=3, hue=0.1)
    unflipped = {key: value for key, value in PRESETS["standard"].items() if key != "flip"}
    assert views.changed == {**unflipped, "shift": 3, "hue": 0.1}


def test_the_ratio_of_a_preset_goes_with_its_crop() -> None:
    assert Views(preset="light", scale=1.0).changed == {"flip": True}
    with pytest.raises(ValidationError, match=r"ratio has no effect where scale is 1\.0"):
        Views(preset="light", scale=1.0, ratio=1.2)


@pytest.mark.parametrize(
    ("views", "said"),
    [
        ({"preset": "storng"}, "views.preset: must be 'none', 'light', 'standard' or 'strong', not 'storng'"),
        ({"preset": ["light"]}, "views.preset: must be"),
        ({"hue": 0.6}, "views.hue: must be less than or equal to 0.5"),
        ({"scale": 0.5, "ratio": 0.75}, "views.ratio: must be greater than or equal to 1"),
        ({"erasing": 2.0}, "views.erasing: must be less than or equal to 1"),
        ({"mixup": float("nan")}, "views.mixup: must be a finite number"),
        ({"ratio": 1.5}, "ratio has no effect where scale is 1.0: set scale, or leave ratio out"),
        (
            {"preset": "light", "flip": False, "scale": 1.0},
            "views.preset has no effect where flip is false and scale is 1.0 and ratio is 1.0: set one of them to what",
        ),
        ({"trivial": True}, "did you mean 'trivial_augment'"),
    ],
)
def test_what_makes_no_views_is_refused_by_name(views: dict[str, Any], said: str) -> None:
    with pytest.raises(params.UserError) as raised:
        params.check({**GIVEN, "views": views}, "params.yaml")
    assert said in str(raised.value)


def test_only_views_that_change_images_are_not_still() -> None:
    assert Views().are_still and Views(preset="none").are_still
    for key, value in {**ON, "shift": 1, "flip": True, "scale": 0.5}.items():
        if key != "ratio":
            assert not Views(**{key: value}).are_still
