"""The whole graph, run by DVC: what every stage leaves behind, and what runs again after a change."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.graph import children
from pipeline.base import files
from pipeline.base.paths import CODE
from pipeline.config import signature
from tests.scratch import LENGTHS, Scratch

OBJECTIVES = signature.available(CODE / "pipeline" / "objectives")
SLOTS = [f"g{n}" for n in range(1, LENGTHS["refinery"] + 1)]
TEACHERS = {  # who taught whom, and what was read of the teacher
    "teacher": [],
    "assistant/t1": ["teacher"],
    "student": ["assistant/t1"],
    "baseline": [],
    "direct": ["teacher"],
    "refinery/g1": ["baseline"],
    "born_again/g1": ["teacher"],
    "method/soft_targets": ["teacher"],
    "mutual/members/1": [],
    "mutual/members/2": [],
}
ORIGINS = {
    **{f"assistant/t{n}": "assistant/t1" for n in (2, 3)},
    **{f"refinery/{slot}": "refinery/g1" for slot in SLOTS[1:]},
    **{f"born_again/{slot}": "born_again/g1" for slot in SLOTS[1:]},
    **{f"compress/c{n}": "compress/c5" for n in (6, 7)},
    "refined": "baseline",
}


def node(scratch: Scratch, name: str) -> dict[str, Any]:
    return files.read_sealed(scratch.folder / "artifacts" / name / "node.json")


def specs(scratch: Scratch) -> dict[str, bytes]:
    """Every spec of the plan, by node name."""
    plan = scratch.folder / "plan"
    return {str(path.relative_to(plan).with_suffix("")): path.read_bytes() for path in plan.rglob("*.json")}


def objective(scratch: Scratch, name: str, change: str) -> None:
    """Write a line at the end of an objective's file."""
    path = scratch.folder / "pipeline" / "objectives" / f"{name}.py"
    path.write_text(path.read_text() + change + "\n")


def imported(scratch: Scratch, *module: str) -> set[str]:
    """Top-level packages that a command imports."""
    said = scratch.run(sys.executable, "-X", "importtime", "-m", *module)
    return {name.split(".")[0] for name in re.findall(r"^import time:.*\| +([\w.]+)$", said, re.MULTILINE)}


@pytest.mark.parametrize("name", TEACHERS)
def test_a_trained_node_is_complete(lineage: Scratch, name: str) -> None:
    each = node(lineage, name)
    assert each["status"] == "trained"
    assert set(each["provides"]) == {"weights", "features", "predictions", "labels"}
    assert [item["teacher"] for item in each["lineage"]] == TEACHERS[name]
    for item in each["lineage"]:
        assert item["read"] == "labels"
        assert item["hash"] == node(lineage, item["teacher"])["hashes"]["labels"]
    folder = lineage.folder / "artifacts" / name
    teaches = name in {"teacher", "assistant/t1", "baseline", "refinery/g1", "born_again/g1"}
    assert len(list((folder / "labels").glob("view_*.safetensors"))) == (4 if teaches else 1)
    hashes = lineage.hashes(name)
    assert hashes[f"{name}/model.safetensors"] == each["hashes"]["weights"]
    assert hashes[f"{name}/predictions/logits.safetensors"] == each["hashes"]["predictions"]
    curve = (lineage.folder / "curves" / f"{name}.csv").read_text().splitlines()
    metrics = json.loads((lineage.folder / "metrics" / f"{name}.json").read_text())
    assert each["chain"][-1] == [name, metrics["validation"]["accuracy"]]
    assert float(curve[-1].split(",")[3]) == metrics["validation"]["accuracy"]


@pytest.mark.parametrize("name", ORIGINS)
def test_a_carried_slot_is_a_pointer_and_nothing_else(lineage: Scratch, name: str) -> None:
    each, origin = node(lineage, name), node(lineage, ORIGINS[name])
    assert [path.name for path in (lineage.folder / "artifacts" / name).iterdir()] == ["node.json"]
    assert each == origin | {"name": name, "status": "carried", "origin": ORIGINS[name]}
    assert len((lineage.folder / "curves" / f"{name}.csv").read_text().splitlines()) == 1


def test_mutual_learning_carries_the_peer_that_params_name(lineage: Scratch) -> None:
    each, first = node(lineage, "mutual"), node(lineage, "mutual/members/1")
    assert each == first | {"name": "mutual", "status": "carried", "origin": "mutual/members/1"}


def test_a_method_that_params_do_not_name_is_skipped(lineage: Scratch) -> None:
    each = node(lineage, "method/dkd")
    assert (each["status"], each["provides"]) == ("skipped", [])
    assert [path.name for path in (lineage.folder / "artifacts/method/dkd").iterdir()] == ["node.json"]


def test_chains_say_what_each_generation_reached(lineage: Scratch) -> None:
    assert [name for name, _ in node(lineage, "refinery/g4")["chain"]] == ["baseline", "refinery/g1"]
    assert [name for name, _ in node(lineage, "born_again/g4")["chain"]] == ["teacher", "born_again/g1"]
    assert node(lineage, "refinery/g4")["chain"][0] == node(lineage, "baseline")["chain"][0]


def test_a_chain_that_falls_stops_and_the_best_generation_is_refined(copied: Scratch) -> None:
    spec = json.loads(specs(copied)["refinery/g2"])
    assert spec["action"] == "train", "the slot was asked for, and the stop rule kept it from training"
    (_, start), (_, first) = node(copied, "refinery/g2")["chain"]
    assert first < start
    assert node(copied, "refined")["origin"] == "baseline"
    said = copied.stage("refinery", "g2")
    assert said == "refinery/g2: validation accuracy has stopped rising, carries refinery/g1\n"


def test_the_ensemble_is_computed_from_its_members(lineage: Scratch) -> None:
    each = node(lineage, "ensemble")
    assert (each["status"], each["provides"]) == ("computed", ["predictions"]), "it teaches nobody"
    predictions = node(lineage, "born_again/g1")["hashes"]["predictions"]
    assert each["lineage"] == [{"teacher": "born_again/g1", "read": "predictions", "hash": predictions}]


def test_a_second_run_only_plans(copied: Scratch, lineage: Scratch) -> None:
    assert copied.repro() == ["plan"]
    objective(copied, "born_again", "# A comment.")
    assert copied.repro() == ["plan"]
    assert copied.hashes() == lineage.hashes()


@pytest.mark.long
def test_one_more_generation_trains_one_network_and_going_back_none(copied: Scratch, lineage: Scratch) -> None:
    copied.edit({"born_again": {"generations": 2}})
    slots = [f"born_again@{slot}" for slot in SLOTS[1:]]
    # Without what reads every network, and would cost the test as much again: these show what runs and what does not.
    targets = ("ensemble", "direct", "student", "refined", "mutual")
    assert copied.repro(*targets) == ["plan", *slots, "ensemble"]
    assert node(copied, "born_again/g2")["status"] == "trained"
    assert [node(copied, f"born_again/{slot}")["origin"] for slot in SLOTS[2:]] == ["born_again/g2"] * 2
    assert [each["teacher"] for each in node(copied, "ensemble")["lineage"]] == ["born_again/g1", "born_again/g2"]
    unconcerned = [name for name in TEACHERS if name != "born_again/g2"]
    assert copied.hashes(*unconcerned) == lineage.hashes(*unconcerned)
    copied.edit({"born_again": {"generations": 1}})
    assert copied.repro() == ["plan"]
    assert copied.hashes() == lineage.hashes()


@pytest.mark.long
def test_an_objective_of_other_meaning_runs_its_users_again(copied: Scratch, lineage: Scratch) -> None:
    objective(copied, "born_again", "UNUSED = 1")
    # Its result is the same, so what follows need not run; only summary and report read how long it took.
    assert copied.repro() == ["plan", "born_again@g1", "summary", "report"]
    path = copied.folder / "pipeline" / "objectives" / "born_again.py"
    text = path.read_text()
    changed = text.replace("    return ", "    return 0.5 * ")
    assert changed != text
    path.write_text(changed)
    chain = [f"born_again@{slot}" for slot in SLOTS]
    assert copied.repro() == ["plan", *chain, "ensemble", "summary", "report"]
    assert copied.hashes("born_again/g1") != lineage.hashes("born_again/g1")
    others = [name for name in TEACHERS if name != "born_again/g1"]
    assert copied.hashes(*others) == lineage.hashes(*others)


@pytest.mark.long
def test_specs_follow_the_meaning_of_the_objectives_that_they_use(fresh: Scratch, tmp_path: Path) -> None:
    scratch = fresh.copy(tmp_path / "repository")
    before = specs(scratch)
    trained = {name: json.loads(spec)["training"] for name, spec in before.items() if b'"objective"' in spec}
    for name in OBJECTIVES:
        objective(scratch, name, "# A comment.")
    scratch.stage("plan")
    assert specs(scratch) == before
    for number, name in enumerate(OBJECTIVES):
        earlier = specs(scratch)
        objective(scratch, name, f"UNUSED = {number}")
        scratch.stage("plan")
        now = specs(scratch)
        users = {node for node, training in trained.items() if name in training["objective"]}
        assert {node for node in now if now[node] != earlier[node]} == users, name


@pytest.mark.parametrize(
    "module",
    [
        ("stages", "--help"),
        ("stages", "plan"),
        ("stages", "refinery", "g4"),
        ("stages", "refined"),
        ("pipeline", "status"),
    ],
    ids=" ".join,
)
def test_what_trains_nothing_imports_no_torch(copied: Scratch, module: tuple[str, ...]) -> None:
    names = imported(copied, *module)
    assert "pipeline" in names
    assert not names & {"torch", "torchvision", "sklearn"}


def test_help_comes_at_once(fresh: Scratch) -> None:
    seconds = []
    for _ in range(3):
        began = children()
        fresh.stage("--help")
        seconds.append(children() - began)
    assert min(seconds) < 1
