"""What dvc.lock records, against the specs of now: which results still hold, and why the others do not."""

from pathlib import Path
from typing import Any

from pipeline.dvc import lock
from pipeline.dvc.lock import Lock, spec_hash
from pipeline.planning.specs.spec import NodeSpec

SPECS = {name: NodeSpec(node=name) for name in ("prepare", "teacher", "refinery/g1", "student")}


def stage(node: str, outs: dict[str, str], **read: str) -> dict[str, Any]:
    """The record of a stage that ran by the spec of now; `read` are paths of other stages' outs, with their hash."""
    deps = [{"path": f"plan/{node}.json", "md5": spec_hash(SPECS[node].as_json())}]
    deps += [{"path": path, "md5": md5} for path, md5 in read.items()]
    return {"deps": deps, "outs": [{"path": path, "md5": md5} for path, md5 in outs.items()]}


def recorded() -> dict[str, Any]:
    """A finished run: the teacher reads data, the generation the teacher, the student data alone."""
    return {
        "prepare": stage("prepare", {"data": "d1"}),
        "teacher": stage("teacher", {"t": "t1"}, data="d1"),
        "refinery@g1": stage("refinery/g1", {"g": "g1"}, t="t1"),
        "student": stage("student", {"s": "s1"}, data="d1"),
    }


def test_nothing_is_stale_after_a_run() -> None:
    assert Lock(recorded()).stale(SPECS) == dict.fromkeys(SPECS)


def test_a_changed_spec_makes_its_node_stale_and_all_that_learn_from_it() -> None:
    changed = SPECS | {"teacher": NodeSpec(node="another")}
    assert Lock(recorded()).stale(changed) == {
        "prepare": None,
        "teacher": "its spec was modified",
        "refinery/g1": "teacher comes first",
        "student": None,
    }


def test_a_teacher_that_was_trained_anew_makes_its_students_stale() -> None:
    """Its own record is of now; that of who read it is of the one before."""
    stages = recorded()
    stages["teacher"]["outs"][0]["md5"] = "t2"
    assert Lock(stages).stale(SPECS) == dict.fromkeys(SPECS) | {"refinery/g1": "teacher comes first"}


def test_what_never_ran_is_named_and_makes_its_followers_wait() -> None:
    stages = recorded()
    del stages["refinery@g1"]
    stages["student"]["deps"].append({"path": "g", "md5": "g1"})
    assert Lock(stages).stale(SPECS)["refinery/g1"] == "not run yet"


def test_one_stage_is_read_as_it_is_among_all(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    path.write_text(
        "schema: '2.0'\nstages:\n"
        "  student:\n    outs:\n    - path: s\n      md5: s1\n"
        "  student2:\n    outs:\n    - path: s2\n      md5: s2\n"
    )
    assert lock.read(path).outs == {"s": "s1", "s2": "s2"}
    assert lock.read_stages(path, ["student"]).outs == {"s": "s1"}
    assert lock.read_stages(path, ["stud"]) == Lock({})
