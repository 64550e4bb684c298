"""The input of a network in params.yaml, and what becomes of it in the plan."""

from typing import Any

import pytest

from pipeline.base.errors import UserError
from pipeline.config import params
from pipeline.config.input import Input, complete, of_json
from pipeline.config.yaml import read_yaml
from pipeline.planning.build import build
from tests.scratch import PARAMS
from tests.training.runs import STAGES

OF_DATA = Input(32, (0.4, 0.5, 0.6), (0.2, 0.2, 0.2))
PLAIN = {"family": "plain", "widths": [4, 8]}


def planned(**change: Any) -> dict[str, Any]:
    raw = read_yaml(PARAMS)
    for name, section in change.items():
        raw[name] = {**raw[name], **section}
    return build(params.check(raw, "params.yaml"), STAGES)


def inputs(specs: dict[str, Any]) -> dict[str, Any]:
    """By node, what is given of its input."""
    return {
        name: found
        for name, spec in specs.items()
        if (found := getattr(getattr(spec, "training", None), "input", None))
    }


def test_a_plan_without_any_has_none() -> None:
    specs = planned()
    assert inputs(specs) == {}
    assert "input" not in specs["teacher"].as_json()["training"]


def test_it_goes_with_the_architecture() -> None:
    own, small = {"size": 12}, {"size": 4}
    specs = planned(
        teacher={"input": own},
        student={"input": small},
        method={"dkd": {"objective": {"dkd": {}}}, "rkd": {"objective": {"rkd": {}}, "architecture": PLAIN}},
        assistant={"inputs": {"t1": {"framing": "pad"}}},
    )
    found = inputs(specs)
    assert found["teacher"] == found["born_again/g1"] == own
    assert found["student"] == found["baseline"] == found["direct"] == found["method/dkd"] == small
    assert found["refinery/g1"] == small
    assert found["assistant/t1"] == {"framing": "pad"}
    assert "method/rkd" not in found


def test_each_of_the_networks_that_teach_each_other_has_its_own() -> None:
    members = planned(mutual={"inputs": {"p2": {"size": 4}}})["mutual"].training.members
    assert [each.input for each in members] == [None, {"size": 4}]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sise": 4}, "student.input: unknown key 'sise', did you mean 'size'"),
        ({"size": 0}, "student.input.size: must be greater than or equal to 1"),
        ({"size": 10**6}, "student.input.size: must be less than or equal to 4096"),
        ({"mean": [0.5]}, "student.input: mean and std belong together"),
        ({"mean": [0.5], "std": [0.5, 0.5]}, "student.input: mean and std belong together"),
        ({"mean": [0.5], "std": [0.0]}, r"student.input.std.0: must be greater than 0"),
        ({"framing": "stretch"}, "student.input.framing: must be 'crop', 'squash' or 'pad'"),
        ({"margin": 1.0}, "student.input.margin: must be less than 1"),
    ],
)
def test_what_does_not_fit_is_named_by_its_key(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        planned(student={"input": given})


def test_an_input_of_no_network_is_named() -> None:
    with pytest.raises(UserError, match="mutual: inputs: unknown network 'p9'"):
        planned(mutual={"inputs": {"p9": {"size": 4}}})
    with pytest.raises(UserError, match="assistant: inputs: unknown network 't9'"):
        planned(assistant={"inputs": {"t9": {"size": 4}}})


def test_given_goes_before_configured_and_that_before_the_data() -> None:
    configured = {"size": 224, "mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.5], "margin": 0.125}
    assert complete(OF_DATA, {}, {}, "") is None
    assert complete(OF_DATA, {}, {"size": 32, "framing": "crop"}, "") is None
    assert complete(OF_DATA, {}, {"size": 16}, "") == Input(16, OF_DATA.mean, OF_DATA.std)
    assert complete(OF_DATA, configured, {"size": 64}, "") == Input(64, (0.1, 0.2, 0.3), (0.5,) * 3, "crop", 0.125)


def test_a_network_for_colours_is_fed_grey_images_by_the_mean_of_its_three() -> None:
    grey = Input(8, (0.3,), (0.4,))
    found = complete(grey, {"mean": [0.1, 0.2, 0.3], "std": [0.2, 0.3, 0.4]}, {}, "")
    assert found and found.mean == pytest.approx((0.2,)) and found.std == pytest.approx((0.3,))
    with pytest.raises(UserError, match=r"teacher.input.mean has 3 numbers and the images have 1 channels"):
        complete(grey, {}, {"mean": [0.1, 0.2, 0.3]}, "params.yaml, teacher.input")


@pytest.mark.parametrize(
    "value",
    [
        {"size": 8},
        {"size": "8", "mean": [0.1], "std": [0.1]},
        {"size": 8, "mean": [0.1], "std": [0.0]},
        {"size": 8, "mean": [0.1], "std": []},
        {"size": 8, "mean": [0.1], "std": [0.1], "framing": "none"},
        {"size": 8, "mean": [0.1], "std": [0.1], "other": 1},
        {"size": 8, "mean": ["a"], "std": [0.1]},
    ],
)
def test_a_damaged_one_is_a_value_error(value: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        of_json(value)


def test_it_survives_json() -> None:
    assert of_json(OF_DATA.as_json()) == OF_DATA and of_json(None) is None
    assert OF_DATA.words() == "32 pixels, mean 0.4 0.5 0.6, deviation 0.2 0.2 0.2"
