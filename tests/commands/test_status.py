"""The status table says what is true of each node."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.numpy import save

from pipeline.commands import status
from pipeline.dvc.training_state import VARIABLE
from pipeline.lineage.node import Node
from pipeline.planning.specs.slots import CarrySpec
from pipeline.planning.specs.spec import NodeSpec
from pipeline.training.state import State
from tests.planning.test_build import build
from tests.scratch import Scratch


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "state"))
    return tmp_path / "state"


def states(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[str, ...]]:
    """State, accuracy and teachers of each node."""
    monkeypatch.chdir(scratch.folder)
    header, *rows = status.lines()
    assert header == ("node", "state", "validation", "learned from")
    return {name: tuple(cells) for name, *cells in rows}


def test_before_the_first_run(fresh: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    found = states(fresh, monkeypatch)
    assert {state for state, *_ in found.values()} == {"not run yet"}
    assert found["direct"] == ("not run yet", "", "teacher")


def test_after_a_whole_run(lineage: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    found = states(lineage, monkeypatch)
    accuracy = json.loads((lineage.folder / "metrics/teacher.json").read_text())["validation"]["accuracy"]
    assert found["teacher"] == ("trained", f"{100 * accuracy:.1f}", "hard labels")
    assert found["student"][0::2] == ("trained", "assistant/t1")
    assert found["refinery/g2"] == ("carried (refinery/g1)", *found["refinery/g1"][1:])
    assert found["refined"] == ("carried (baseline)", *found["baseline"][1:])
    assert found["ensemble"][0::2] == ("computed", "1 members")
    assert not [name for name, (state, *_) in found.items() if "stale" in state or "not run" in state]


def test_after_a_change_what_is_stale_says_why(copied: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    before = states(copied, monkeypatch)
    copied.edit({"refinery": {"recipe": {"lr": 0.001}}})
    found = states(copied, monkeypatch)
    assert found["refinery/g1"][0] == "stale: its spec was modified"
    assert found["refined"][0].startswith("stale: refinery/g")
    assert {name for name in found if found[name] != before[name]} == {
        "refined",
        *(f"refinery/g{number}" for number in range(1, 5)),
    }


def test_training_that_was_interrupted_is_in_progress(
    fresh: Scratch, own_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = own_state / "baseline" / "key"
    folder.mkdir(parents=True)
    facts = {"epochs": 60, "position": {"epoch": 7, "step": 2}}
    State(folder).save(save({}, {"facts": json.dumps(facts)}))
    assert states(fresh, monkeypatch)["baseline"][0] == "in progress: epoch 8 of 60"
    facts["position"]["epoch"] = 60
    State(folder).save(save({}, {"facts": json.dumps(facts)}))
    assert states(fresh, monkeypatch)["baseline"][0] == "not run yet"


def test_progress_is_that_of_the_newest_training_that_is_not_over(own_state: Path) -> None:
    for number, (key, epoch) in enumerate((("newer", 3), ("older", 8))):
        folder = own_state / "student" / key
        folder.mkdir(parents=True)
        facts = {"epochs": 9, "position": {"epoch": epoch}}
        State(folder).save(save({}, {"facts": json.dumps(facts)}))
        os.utime(folder / "state", (1000 - number, 1000 - number))
    assert status._progress("student", build()["student"]) == "in progress: epoch 4 of 9"
    assert status._progress("student", CarrySpec(node="student", previous="teacher", code={})) is None


def test_a_node_is_told_by_its_own_figure_and_a_slot_by_that_of_what_it_carries() -> None:
    chain = (("baseline", 0.5), ("refinery/g1", 0.625), ("refinery/g2", 0.75))
    trained = Node("refinery/g2", "trained", chain=chain)
    carried = Node("refinery/g3", "carried", chain=chain, origin="refinery/g2")
    for each in (trained, carried):
        assert status.Standing(NodeSpec(node=each.name), each, None, None).reached == "75.0"
        of_another = replace(each, select="nll")
        assert status.Standing(NodeSpec(node=each.name), of_another, None, None).reached == "NLL 0.750"
    changed = "its spec was modified"
    assert status.Standing(NodeSpec(node="x"), trained, changed, None).state == f"stale: {changed}"
    assert status.Standing(NodeSpec(node="x"), carried, None, None).state == "carried (refinery/g2)"
