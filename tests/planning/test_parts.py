"""A part that is null is off: its nodes are skipped, all others stay as they are, and what needs it says so."""

from typing import Any

import pytest
import yaml

from pipeline.base.errors import UserError
from pipeline.config import params
from pipeline.planning import build as plan
from pipeline.planning import graph
from pipeline.planning.specs.slots import CarrySpec, SkipSpec
from pipeline.planning.specs.spec import NodeSpec
from pipeline.planning.specs.training import TrainingSpec
from tests.scratch import PARAMS, ROOT, merged

DEFAULT = yaml.safe_load(PARAMS.read_text())
STAGES = graph.read(ROOT / "dvc.yaml")
OWN = {key: DEFAULT["student"][key] for key in ("architecture", "recipe", "teaching")}  # as the student's
HARD = {**OWN, **DEFAULT["baseline"]}
SOFT = {**OWN, "objective": DEFAULT["student"]["objective"]}
COMPRESSION = ["quantise", "export"]
# What of the default graph needs a part, and is to be changed or off, too, where the part is off.
NEEDS: dict[str, dict[str, Any]] = {
    "student": {
        "student": None,
        "baseline": HARD,
        "direct": SOFT,
        "method": {},
        "compress": {"order": COMPRESSION},
    },
    "baseline": {"baseline": None, "edges": {"refinery": "teacher"}},
    "direct": {"direct": None},
    "refinery": {"refinery": None},
    "born_again": {"born_again": None},
    "method": {"method": {}},
    "mutual": {"mutual": None},
    "compress": {"compress": None},
}
ALL: dict[str, Any] = {name: None for name in NEEDS if name not in ("student", "method")} | {"method": {}}


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """params.yaml with these changes; a part that is given as nothing is nothing."""
    whole = merged(DEFAULT, changes)
    return whole | {"method": changes["method"]} if "method" in changes else whole


def build(changes: dict[str, Any]) -> dict[str, Any]:
    return plan.build(params.check(changed(changes), "params.yaml"), STAGES)


def slots(family: str) -> set[str]:
    return {f"{family}/{slot}" for slot in graph.slots(STAGES, family)}


SKIPPED = {
    "student": {"student", *slots("method")},
    "baseline": {"baseline", "method/unlimited"},
    "direct": {"direct"},
    "refinery": {*slots("refinery"), "refined"},
    "born_again": {*slots("born_again"), "ensemble"},
    "method": slots("method"),
    "mutual": {"mutual"},
    "compress": slots("compress"),
}


def skipped(specs: dict[str, Any]) -> set[str]:
    return {name for name, spec in specs.items() if isinstance(spec, SkipSpec)}


@pytest.mark.parametrize("part", NEEDS)
def test_a_part_that_is_off_is_skipped_and_no_other_network_is_another_one(part: str) -> None:
    before, after = build({}), build(NEEDS[part])
    assert before.keys() == after.keys() and not skipped(before)
    assert skipped(after) == SKIPPED[part]
    concerned = SKIPPED[part] | (slots("refinery") if part == "baseline" else set())
    concerned |= slots("compress") if part == "student" else set()
    for name, spec in before.items():
        if isinstance(spec, TrainingSpec) and name not in concerned:
            assert after[name].training == spec.training, name
        elif isinstance(spec, CarrySpec) and name not in concerned:
            assert after[name] == spec


def test_all_that_is_left_of_a_graph_of_teacher_and_student_is_skipped() -> None:
    specs = build(ALL)
    left = {name for name, spec in specs.items() if isinstance(spec, NodeSpec)} - skipped(specs)
    assert left == {"teacher", "student", *slots("assistant")}
    assert specs["report"].chains == {}
    assert skipped(build({**ALL, "student": None})) == skipped(specs) | {"student"}


def test_a_part_that_is_not_there_is_off_as_one_that_is_null() -> None:
    whole = {key: value for key, value in changed(ALL).items() if key not in ALL or key == "compress"}
    checked = params.check({**whole, "method": None}, "params.yaml")
    assert skipped(plan.build(checked, STAGES)) == skipped(build(ALL))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"student": None}, r"baseline\.architecture is not given, and student, .* is null: .* set baseline to null"),
        ({"student": None, "baseline": None}, r"direct\.architecture is not given, and student, .* is null"),
        (
            {"student": None, "baseline": None, "direct": {**SOFT, "objective": None}},
            r"direct\.objective is not given, and student, .* is null",
        ),
        (
            {"student": None, "baseline": HARD, "direct": SOFT},
            r"method\.soft_targets\.architecture is not given, and student, .* is null: .* leave method\.soft_targets",
        ),
        (
            {"student": None, "baseline": HARD, "direct": SOFT, "method": {}, "compress": {"order": ["distil"]}},
            r"compress\.steps\.distil\.objective is not given, and student, .* leave distil out of compress\.order",
        ),
        (
            {"student": None, "baseline": HARD, "direct": SOFT, "method": {}, "compress": {"order": ["tune"]}},
            r"compress\.steps\.tune\.objective is not given, and student, .* leave tune out",
        ),
        ({"baseline": None}, r"edges\.refinery is baseline, but baseline is null: .* set refinery to null, too"),
        (
            {
                "student": None,
                "baseline": None,
                "direct": None,
                "method": {},
                "edges": {"refinery": "student"},
                "compress": {"order": []},
            },
            r"edges\.refinery is student, but student is null",
        ),
        ({"direct": None, "edges": {"born_again": "direct"}}, r"edges\.born_again is direct, but direct is null"),
        ({"refinery": None, "edges": {"born_again": "refined"}}, r"edges\.born_again is refined, but refinery is null"),
        (
            {"born_again": None, "edges": {"refinery": "ensemble"}},
            r"edges\.refinery is ensemble, but born_again is null",
        ),
        ({"mutual": None, "edges": {"compress": "mutual"}}, r"edges\.compress is mutual, but mutual is null"),
        ({"refinery": None, "edges": {"compress": "refinery/g1"}}, r"edges\.compress is refinery/g1, but refinery is"),
        (
            {"born_again": None, "edges": {"compress_teacher": "ensemble"}},
            r"edges\.compress_teacher is ensemble, but born_again is null: .* set compress to null, too",
        ),
        ({"teacher": None}, r"teacher: must be a mapping"),
        ({"assistant": None}, r"assistant: must be a mapping"),
    ],
    ids=str,
)
def test_what_needs_a_part_that_is_off_says_so(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=rf"^params\.yaml: {sentence}") as raised:
        build(changes)
    assert len(str(raised.value).splitlines()) == 1


def test_an_edge_is_where_a_chain_starts() -> None:
    edges = {"refinery": "direct", "born_again": "student", "compress": "baseline", "compress_teacher": "direct"}
    specs = build({"edges": edges})
    first = {family: specs[f"{family}/{slot}"].previous for family, slot in (("refinery", "g1"), ("born_again", "g1"))}
    assert first == {"refinery": "direct", "born_again": "student"}
    assert specs["compress/c1"].previous == "baseline" and specs["compress/c3"].teacher == "direct"


@pytest.mark.parametrize("key", ["refinery", "born_again", "compress", "compress_teacher"])
def test_the_edge_of_a_chain_that_is_off_is_one_that_dvc_can_have(key: str) -> None:
    build({**ALL, "edges": {key: "student"}})
    with pytest.raises(UserError, match=rf"^params\.yaml: edges\.{key}.* '\.\./x'"):
        build({**ALL, "edges": {key: "../x"}})


def test_two_chains_that_are_off_may_not_wait_for_each_other_as_dvc_reads_both() -> None:
    with pytest.raises(UserError, match="each would wait for the other"):
        build({**ALL, "edges": {"refinery": "ensemble", "born_again": "refined"}})


def test_a_start_in_the_section_itself_may_not_say_otherwise() -> None:
    build({"refinery": {"from": "baseline"}, "compress": {"teacher": "teacher"}})
    with pytest.raises(UserError, match=r"refinery\.from is 'teacher', but edges\.refinery, which .* is 'baseline'"):
        build({"refinery": {"from": "teacher"}})
    with pytest.raises(UserError, match=r"compress\.teacher is 'direct', but edges\.compress_teacher, .* 'teacher'"):
        build({"compress": {"teacher": "direct"}})
