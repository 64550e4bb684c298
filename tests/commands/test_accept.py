"""A release is taken over: what only its listed changes concern is not made again, and all else is named."""

import fcntl
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.commands.accept import _compared, _trains_the_same
from pipeline.config import params
from pipeline.dvc import cache, lock
from pipeline.dvc.relock import relocked
from pipeline.dvc.training_state import state_root
from pipeline.planning import graph, releases, units
from pipeline.planning.build import build
from pipeline.planning.releases import Releases
from pipeline.planning.specs.machine import MachineSpec
from pipeline.planning.specs.sharing import SharingSpec
from pipeline.planning.specs.spec import Spec
from pipeline.planning.specs.training import TrainingSpec
from pipeline.training import moved_state
from tests.faults.compare import difference, results
from tests.faults.graph import resize
from tests.release import checkout, text, updated
from tests.scratch import COMMIT, LENGTHS, METHODS, PARAMS, SKIPPED, Scratch, bring, create

Json = dict[str, Any]
ACCEPT = (sys.executable, "-m", "pipeline", "accept")
TIMED = "metrics/summary.json"  # in which seconds stand

LISTED = Releases(
    commit="",
    renamed={"answers": "has_logits", "training.members.*.seed": "training.members.*.start", "gone": None},
    added={"stop": None},
    code={"loop": ["l1", "l2", "l3"], "model plain": ["m1"], "rebuild": ["r1", None], "optimiser": [None, "o1"]},
)
OLD: Json = {
    "node": "mutual",
    "answers": True,
    "gone": 1,
    "training": {"members": [{"seed": 1, "recipe": {"lr": 0.1}}, {"seed": 2, "recipe": {}}], "teaching": "stored"},
    "code": {"training": {"loop": "l1", "model plain": "m1"}, "stage": {"rebuild": "r1"}},
}
NEW: Json = {
    "node": "mutual",
    "has_logits": True,
    "stop": None,
    "training": {"members": [{"start": 1, "recipe": {"lr": 0.1}}, {"start": 2, "recipe": {}}], "teaching": "stored"},
    "code": {"training": {"loop": "l3", "model plain": "m1", "optimiser": "o1"}, "stage": {}},
}


def test_the_list_is_of_the_code_of_today() -> None:
    listed, today = releases.read(), units.code(units.every())
    odd = sorted(unit for unit, found in today.items() if listed.code.get(unit, [None])[-1] != found)
    odd += sorted(unit for unit, line in listed.code.items() if unit not in today and line[-1] is not None)
    assert not odd, (
        f"the code of {', '.join(odd)} has changed: `python -m tests.release` writes the hashes into releases.yaml. "
        "That claims that all results are the same byte for byte: compare them first, by `python -m pytest -m long "
        "tests/commands/test_accept.py`. Where they are not, give `--anew UNIT`, too"
    )


def test_an_old_line_goes_on_and_a_new_one_says_that_specs_did_not_name_the_unit() -> None:
    listed = Releases("", {}, {}, {"a": ["a1", "a2"], "b": ["b1"], "c": ["c1", "c2"], "e": ["e1"]})
    today = {"a": "a2", "b": "b2", "c": "c1", "d": "d9"}
    code = updated(listed, today, []).code
    assert code == {"a": ["a1", "a2"], "b": ["b1", "b2"], "c": ["c2", "c1"], "d": [None, "d9"], "e": ["e1", None]}
    assert updated(listed, today, ["b", "d"]).code == code | {"b": ["b2"], "d": ["d9"]}
    listed = replace(LISTED, code=code)
    assert Releases(**yaml.safe_load(text(listed))) == listed


def test_what_is_listed_is_no_difference() -> None:
    assert LISTED.differences(OLD, NEW) == []
    assert LISTED.differences(OLD, {key: NEW[key] for key in NEW if key != "stop"}) == []
    assert LISTED.differences(OLD, OLD | {"stop": None}) != [], "an old key of today is no old spelling"


def changed(spec: Json, *keys: Any, value: Any) -> Json:
    """A spec with another value there; keys may be places in lists."""
    spec = json.loads(json.dumps(spec))
    inner: Any = spec
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return spec


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (OLD, changed(NEW, "training", "members", 0, "recipe", "lr", value=0.2), "members.0.recipe.lr was 0.1, is 0.2"),
        (OLD, changed(NEW, "training", "members", 1, "start", value=1), "members.1.start was 2, is 1"),
        (OLD, changed(NEW, "has_logits", value=False), "has_logits was true, is false"),
        (OLD, changed(NEW, "stop", value=1), "stop was null, is 1"),
        (OLD, changed(NEW, "more", value=None), "more was not given, is null"),
        (changed(OLD, "less", value=["x" * 50]), NEW, f'less.0 was "{"x" * 38}…, is not given'),
        # By code that is not the release's, before, after, or instead.
        (changed(OLD, "code", "training", "loop", value="mine"), NEW, "its code was changed (loop)"),
        (OLD, changed(NEW, "code", "training", "loop", value="mine"), "its code was changed (loop)"),
        (OLD, changed(NEW, "code", "training", "loop", value="l2"), "its code was changed (loop)"),
        (NEW, changed(NEW, "code", "training", "loop", value="l1"), "its code was changed (loop)"),
        (OLD, changed(NEW, "code", "training", "model plain", value="m2"), "its code was changed (model plain)"),
        (OLD, changed(NEW, "code", "training", "optimiser", value="o2"), "its code was changed (optimiser)"),
        (OLD, changed(NEW, "code", "stage", "rebuild", value="r2"), "its code was changed (rebuild)"),
        (changed(OLD, "code", "stage", value="one hash"), NEW, "its code was not that of a release"),
        (changed(OLD, "code", value="one hash"), changed(NEW, "code", value={}), "its code was not that of a release"),
        # Another setting has another code: that goes without saying.
        (
            OLD,
            changed(changed(NEW, "more", value=1), "code", "stage", value={"objective dkd": "d"}),
            "more was not given, is 1",
        ),
        (changed(OLD, "code", "stage", value="one hash"), changed(NEW, "more", value=1), "more was not given, is 1"),
    ],
)  # fmt: skip
def test_every_other_difference_is_named(old: Json, new: Json, why: str) -> None:
    assert releases.in_words(LISTED.differences(old, new)) == why


def test_training_goes_on_only_by_code_and_settings_that_are_known_to_be_the_same() -> None:
    """Whatever else differs: where that is told, a difference of code goes without saying, and still counts."""
    labels = {"labels": {"views": 5}}
    assert _trains_the_same(LISTED, OLD, NEW | labels)
    assert _trains_the_same(LISTED, OLD, changed(NEW | labels, "code", "stage", value={"stage": "other"}))
    for other in (
        changed(NEW, "code", "training", "loop", value="mine"),
        changed(NEW, "code", "training", "objective dkd", value="d"),
        changed(NEW, "training", "members", 0, "recipe", "lr", value=0.2),
    ):
        assert not _trains_the_same(LISTED, OLD, other | labels)
    for code in ("one hash", {"training": "one hash", "stage": {}}):
        assert not _trains_the_same(LISTED, changed(OLD, "code", value=code), NEW | labels)


def test_of_many_differences_three_are_named() -> None:
    new = NEW | {f"k{number}": number for number in range(5)}
    assert releases.in_words(LISTED.differences(OLD, new)).endswith("k2 was not given, is 2, and 2 more")


LOCK = """\
schema: '2.0'
stages:
  teacher:
    cmd: x
    deps:
    - path: artifacts/data
      hash: md5
      md5: d1.dir
      size: 77
      nfiles: 8
    - path: plan/teacher.json
      hash: md5
      md5: t1
      size: 11
    outs:
    - path: artifacts/teacher
      hash: md5
      md5: o1
      size: 5
  method@dkd:
    cmd: x
    deps:
    - path: plan/method/dkd.json
      hash: md5
      md5: k1
      size: 12
"""


def test_only_the_specs_of_the_lock_are_rewritten() -> None:
    spec = {"node": "method/dkd"}
    size = len(files.to_json(files.sealed(spec)))
    expected = LOCK.replace("md5: k1\n      size: 12", f"md5: {lock.spec_hash(spec)}\n      size: {size}")
    assert relocked(LOCK, {"method@dkd": spec}) == expected != LOCK
    assert relocked(LOCK, {}) == LOCK
    with pytest.raises(UserError, match=r"^dvc\.lock is not as DVC writes it"):
        relocked(LOCK.replace("      hash: md5\n      md5: k1", "      md5: k1"), {"method@dkd": spec})


OF_OLD = ("loop", "node")


def older(spec: Json) -> Json:
    """A spec by the code that the fixture's release has changed."""
    parts = spec["code"].items()
    return spec | {
        "code": {part: {unit: "before" if unit in OF_OLD else each[unit] for unit in each} for part, each in parts}
    }


@pytest.fixture
def upgraded(copied: Scratch) -> Scratch:
    """A finished lineage by the code before a release that has changed the loop, and how nodes are carried."""
    top, listed = copied.folder, releases.read()
    for unit in OF_OLD:
        listed.code[unit] = ["before", listed.code[unit][-1]]
    (top / "pipeline" / "planning" / releases.FILE.name).write_text(text(listed))
    specs = {}
    for path in sorted(top.glob("plan/**/*.json")):
        name = path.relative_to(top / "plan").with_suffix("").as_posix()
        if name != "machine":
            specs[name] = older(files.read_sealed(path))
            files.write_sealed(path, specs[name])
            files.write_sealed(cache.path(top / ".dvc" / "cache", lock.spec_hash(specs[name])), specs[name])
    by_stage = {name.replace("/", "@", 1): spec for name, spec in specs.items()}
    (top / "dvc.lock").write_text(relocked((top / "dvc.lock").read_text(), by_stage))
    return copied


@pytest.mark.long
def test_what_is_listed_does_not_run_again_and_a_change_of_ones_own_does(upgraded: Scratch) -> None:
    upgraded.edit({"baseline": {"recipe": {"lr": 0.02}}})
    with (upgraded.folder / "pipeline" / "objectives" / "soft_targets.py").open("a") as file:
        file.write("\nMINE = 1\n")
    path = upgraded.folder / "dvc.lock"
    before = path.read_text()
    said = upgraded.run(*ACCEPT, "--dry")
    assert path.read_text() == before
    assert upgraded.run(*ACCEPT) == said
    again = dict(line.split(" runs again: ") for line in said.splitlines() if " runs again: " in line)
    assert re.fullmatch(r"recipe\.lr was [\d.]+, is 0\.02", again["baseline"])
    assert again["method/soft_targets"] == "its code was changed (objective soft_targets)"
    assert not again.keys() & {"prepare", "teacher", "mutual", "refinery/g4", "born_again/g4", "method/dkd", "report"}
    stages = [name.replace("/", "@") for name in ("teacher", "born_again/g4", "mutual", "method/dkd")]
    assert upgraded.repro(*stages) == ["plan"]
    assert upgraded.run(*ACCEPT).splitlines()[-1].startswith("nodes taken over: 0, ")


NODES = ("baseline", "student", "compress/c3", "mutual")  # hard labels, stored labels, first weights, no teacher


def states(scratch: Scratch) -> dict[str, str]:
    """The key of each node's only saved training."""
    root = scratch.folder / ".dvc" / "training-state"
    return {name: path.parent.name for name in NODES for path in (root / name).glob("*/state")}


@pytest.fixture
def trained(upgraded: Scratch, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    """The same, with its saved training under the keys of the code before."""
    monkeypatch.chdir(upgraded.folder)
    moved_state._data.cache_clear()
    specs = build(params.read(Path("params.yaml")), graph.read(Path("dvc.yaml")))
    for name, now in states(upgraded).items():
        new = specs[name]
        assert isinstance(new, TrainingSpec)
        old = files.read_sealed(Path("plan") / f"{name}.json")
        (was, _) = moved_state._keys(old, new)
        assert was != now
        folder = state_root() / name
        (folder / now).rename(folder / was)
    return upgraded


@pytest.mark.long
def test_saved_training_goes_on_under_its_new_key_whatever_else_has_changed(trained: Scratch) -> None:
    trained.edit({"labels": {"views": 5}, "compress": {"steps": {"tune": {"recipe": {"epochs": 3}}}}})
    path = trained.folder / "dvc.lock"
    # As of a first training that was stopped: only the plan knows of it.
    path.write_text(re.sub(r"^  baseline:\n(?:   .*\n)*", "", path.read_text(), flags=re.MULTILINE))
    before = states(trained)
    lines = trained.run(*ACCEPT).splitlines()
    assert "baseline runs again: it has not run yet" in lines
    now = states(trained)
    assert {name for name in NODES if now[name] != before[name]} == {"baseline", "student", "mutual"}
    for name in ("baseline", "student", "mutual"):
        assert "training was finished before" in trained.stage(name)


@pytest.mark.long
def test_nothing_is_written_while_a_training_runs_and_all_when_it_has_ended(trained: Scratch, lineage: Scratch) -> None:
    before, text = states(trained), (trained.folder / "dvc.lock").read_text()
    plans = results(trained.folder, "plan")
    held = state_root() / "mutual" / before["mutual"] / "lock"
    with held.open("a") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        said = trained.run(*ACCEPT, code=1)
    assert re.fullmatch(r"error: .*mutual is held by a training: give the command again when it ends\n", said)
    assert states(trained) == before
    assert (trained.folder / "dvc.lock").read_text() == text
    assert results(trained.folder, "plan") == plans
    trained.run(*ACCEPT)
    assert states(trained) == states(lineage) != before
    assert results(trained.folder, "plan") == results(lineage.folder, "plan") != plans


def test_saved_training_moves_back_where_the_rest_fails(tmp_path: Path) -> None:
    was, now = tmp_path / "was", tmp_path / "now"
    was.mkdir()
    for name in ("state", "state.previous"):
        (was / name).write_text(name)
    state = moved_state.MovedState()
    state.moves = {was: now}
    with pytest.raises(OSError, match="full"), state.moved():
        assert {path.name for path in now.iterdir()} == {"state", "state.previous"}
        raise OSError("full")
    assert {path.name for path in was.iterdir()} == {"state", "state.previous", "lock"}
    assert not list(now.iterdir())


def test_where_nothing_has_run_there_is_nothing_to_take_over(fresh: Scratch) -> None:
    said = fresh.run(*ACCEPT, code=1)
    assert said == "error: there is no dvc.lock here, so there are no results to take over: run `dvc repro`\n"


@pytest.mark.long
def test_what_is_taken_over_from_a_release_is_what_today_would_make(lineage: Scratch, tmp_path: Path) -> None:
    """What holds releases.yaml: the same graph by both codes, in one environment."""
    commit, released = releases.read().commit, tmp_path / "released"
    try:
        checkout(commit, released)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        pytest.skip(f"git has no commit {commit} here ({error})")
    old = create(tmp_path / "old", released)
    resize(old.folder, LENGTHS, [*METHODS, SKIPPED])
    old.run(*COMMIT)
    old.repro()
    bring(old.folder)
    resize(old.folder, LENGTHS, [*METHODS, SKIPPED])
    told = re.fullmatch(r"error: params\.yaml: edges\.refinery, .* is missing: add it, .*\n", old.run(*ACCEPT, code=1))
    assert told, "params.yaml is still the release's, which had no `edges`"
    ours = yaml.safe_load(PARAMS.read_text())
    old.edit({"edges": ours["edges"]})
    assert "compress.steps.export: unknown key 'program', valid: abstain, " in old.run(*ACCEPT, code=1)
    theirs = yaml.safe_load((old.folder / "params.yaml").read_text())
    del theirs["compress"]["steps"]["export"]["program"]
    theirs["compress"]["steps"]["export"]["formats"] = ours["compress"]["steps"]["export"]["formats"]
    (old.folder / "params.yaml").write_text(yaml.safe_dump(theirs, sort_keys=False))
    said = old.run(*ACCEPT)
    again = {line.split(" runs again")[0] for line in said.splitlines() if " runs again: " in line}
    assert "prepare" not in again, f"every result is another: `python -m tests.release --baseline COMMIT`\n{said}"
    ran = {*old.repro()}
    assert {"plan", *(name.replace("/", "@") for name in again)} <= ran
    assert "prepare" not in ran
    made = [results(each.folder, "artifacts", "metrics", "curves") for each in (old, lineage)]
    for each in made:
        del each[TIMED]
    assert made[0] == made[1], difference(*made)

    with (old.folder / "pipeline" / "models" / "plain.py").open("a") as file:
        file.write("\nMINE = 1\n")
    said = old.run(*ACCEPT)
    assert "teacher runs again: its code was changed (model plain)" in said.splitlines()
    assert "nodes taken over: 0, " in said
    assert "teacher" in old.repro("teacher")


def test_what_plan_writes_for_no_stage_is_none_that_runs_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    machine = MachineSpec(device="cpu", precision="auto", threads=1, state_every=20)
    specs: dict[str, Spec] = {"machine": machine, "sharing": SharingSpec(share_state=True)}
    taken = _compared(specs)
    assert (taken.same, taken.relocked, taken.again) == ([], {}, {})
