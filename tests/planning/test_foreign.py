"""A teacher that is no network of ours: what plan makes of it, and what it refuses."""

from typing import Any

import pytest

from pipeline.base.errors import UserError
from pipeline.config.term import needs_features
from pipeline.planning.specs.foreign import AnswersSpec, OnnxSpec
from tests.planning.test_build import DEFAULT, build
from tests.scratch import merged

PLAIN = {"family": "plain", "widths": [4, 8]}
SHA256 = "0" * 64
# What the default asks of the teacher's network goes, or comes from elsewhere.
WITHOUT_NETWORK: dict[str, Any] = {
    "method": {
        name: None for name, each in DEFAULT["method"].items() if needs_features(each["objective"]) or "initial" in each
    },
    "born_again": {"architecture": PLAIN},
    "edges": {"compress": "student"},
}
ANSWERS: dict[str, Any] = {"answers": {"file": "a.npz", "sha256": SHA256, "for_views": "own"}}
ONNX: dict[str, Any] = {"onnx": {"file": "a.onnx", "sha256": SHA256}}


def planned(teacher: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return build(merged({**WITHOUT_NETWORK, "teacher": teacher}, changes))


def refused(teacher: dict[str, Any] = ANSWERS, **changes: Any) -> str:
    with pytest.raises(UserError) as raised:
        planned(teacher, **changes)
    return str(raised.value)


def test_the_teacher_becomes_a_spec_of_its_own_kind_and_labels_for_its_students() -> None:
    answers, onnx = planned(ANSWERS), planned(ONNX)
    assert isinstance(answers["teacher"], AnswersSpec) and isinstance(onnx["teacher"], OnnxSpec)
    assert answers["teacher"].answers.sha256 == SHA256 and onnx["teacher"].onnx.sha256 == SHA256
    usual = build(WITHOUT_NETWORK)
    assert answers["teacher"].labels == onnx["teacher"].labels == usual["teacher"].labels
    assert answers["teacher"].labels.views > 0
    changed = {name for name in usual if usual[name] != answers[name]}
    # Who learns from it is asked for the very same; the ensemble no longer counts the code of the teacher's network.
    assert changed == {"teacher", "prepare", "ensemble"}
    assert {name for name in usual if usual[name] != onnx[name]} == {"teacher", "ensemble"}


def test_only_answers_ask_where_the_images_came_from() -> None:
    assert planned(ANSWERS)["prepare"].origins is True
    assert "origins" not in planned(ONNX)["prepare"].as_json() and "origins" not in build()["prepare"].as_json()


def test_its_code_is_that_which_takes_it_in() -> None:
    answers, onnx = (planned(each)["teacher"].code["stage"] for each in (ANSWERS, ONNX))
    assert [*answers] == ["stage answers"] and [*onnx] == ["stage onnx"]


@pytest.mark.parametrize(
    ("views", "for_views", "said"),
    [
        ({"shift": 1}, None, "views.shift is 1"),
        ({"shift": 0, "flip": True, "scale": 0.5}, None, "views.flip is True and views.scale is 0.5"),
        (
            {"shift": 0, "preset": "light", "flip": True, "hue": 0.1},
            None,
            "or set views.preset to none and views.hue to 0.0",
        ),
        ({"shift": 0, "preset": "light", "flip": True}, None, "and views.flip is True, so"),
        ({"shift": 1, "mixup": 0.2}, "clean", "teacher.answers.for_views is clean, and views mix images"),
        ({"shift": 1, "cutmix": 1.0}, "clean", "teacher.answers.for_views is clean, and views mix images"),
        ({"shift": 0}, "clean", "teacher.answers.for_views is clean and has no effect"),
        ({"shift": 0}, "own", "teacher.answers.for_views is own and has no effect"),
    ],
)
def test_views_that_would_not_belong_are_refused(views: dict[str, Any], for_views: str | None, said: str) -> None:
    answers = {"answers": {"file": "a.npz", "sha256": SHA256, "for_views": for_views}}
    assert said in refused(answers, views=views)


def test_views_that_leave_images_as_they_are_need_no_word() -> None:
    answers = {"answers": {"file": "a.npz", "sha256": SHA256}}
    assert planned(answers, views={"shift": 0})["teacher"].answers.for_views is None


FEATURES = next(name for name, each in DEFAULT["method"].items() if needs_features(each["objective"]))
CHAIN = {"generations": 0, "from": "teacher"}


@pytest.mark.parametrize("teacher", [ANSWERS, ONNX])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"direct": {"teaching": "live"}}, "direct needs a live teacher"),
        ({"assistant": {"teaching": "live"}}, "assistant needs a live teacher"),
        ({"assistant": {"links": 0}, "student": {"teaching": "live"}}, "student needs a live teacher"),
        ({"method": {FEATURES: DEFAULT["method"][FEATURES]}}, f"method.{FEATURES} needs a live teacher"),
        ({"born_again": {"teaching": "live"}}, "born_again needs a live teacher"),
        ({"born_again": {"architecture": None}}, "edges.born_again is teacher"),
        ({"refinery": {"from": "teacher"}}, "edges.refinery is teacher"),
        (
            {"refinery": CHAIN, "born_again": {"from": "refined", "teaching": "live"}},
            "born_again needs a live teacher",
        ),
        (
            {"born_again": {"generations": 0}, "refinery": {"from": "ensemble", "architecture": PLAIN}},
            "whose only member is the teacher",
        ),
        ({"compress": {"from": "teacher", "order": ["prune"]}}, "edges.compress is teacher"),
        ({"compress": {"from": "refined", "order": ["prune"]}, "refinery": CHAIN}, "edges.compress is refined"),
    ],
)
def test_what_needs_the_network_is_refused(teacher: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    sentence = refused(teacher, **changes)
    assert said in sentence and f"teacher.{next(iter(teacher))}" in sentence


@pytest.mark.parametrize(
    "changes",
    [
        {"refinery": {"from": "baseline", "teaching": "live"}},
        {"born_again": {"generations": 0, "architecture": None}},
        {"refinery": CHAIN},
        {"refinery": {"from": "teacher", "architecture": PLAIN}},
        {"compress": {"from": "teacher", "order": ["distil", "prune"]}},
    ],
)
def test_what_does_not_need_it_is_planned(changes: dict[str, Any]) -> None:
    assert isinstance(planned(ANSWERS, **changes)["teacher"], AnswersSpec)


def test_a_teacher_comes_from_one_place() -> None:
    with pytest.raises(ValueError, match=r"takes one of weights, answers, onnx, .* not answers and onnx"):
        planned(ANSWERS | ONNX)
    with pytest.raises(ValueError, match=r"not weights and onnx"):
        planned({"weights": {"file": "a", "sha256": SHA256}, **ONNX})
