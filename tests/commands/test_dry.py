"""What `repro --dry` says, held against what `dvc repro` then does; and that it writes nothing."""

import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.commands.dry import Prospect, closing, tell
from pipeline.engines.estimate import UNKNOWN, Expected
from tests.faults.graph import stages
from tests.planning.test_graph import imported, objective
from tests.scratch import Scratch

DRY = (sys.executable, "-m", "pipeline", "repro", "--dry")
Change = Callable[[Scratch], None]


@dataclass(frozen=True)
class Said:
    """The rows that `--dry --json` prints, by stage."""

    rows: dict[str, dict[str, Any]]

    def of(self, state: str) -> set[str]:
        return {name for name, row in self.rows.items() if row["state"] == state}

    def why(self, stage: str) -> str:
        return "; ".join(self.rows[stage]["why"])


def said(scratch: Scratch, *targets: str) -> Said:
    lines = scratch.run(*DRY, "--json", *targets).splitlines()
    return Said({row["stage"]: row for row in map(json.loads, lines)})


def check(scratch: Scratch, *targets: str) -> Said:
    """Ask first, run then: nothing runs that was called cached, and all that was called to run does."""
    found = said(scratch, *targets)
    ran = {*scratch.repro(*targets)} - {"plan"}
    assert ran <= {*found.rows}
    assert ran & found.of("cached") == set(), "called cached, and ran"
    assert found.of("runs") - ran == set(), "called to run, and did not"
    return found


def tree(scratch: Scratch) -> dict[str, tuple[int, int, bytes]]:
    """Every file and folder below a repository: when it was changed, its mode and its content."""
    found = {}
    for top, _, names in os.walk(scratch.folder):
        for path in (Path(top), *(Path(top) / name for name in names)):
            state = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found[path.relative_to(scratch.folder).as_posix()] = (state.st_mtime_ns, state.st_mode, content)
    return found


def params(**changes: Any) -> Change:
    return lambda scratch: scratch.edit(changes)


def code(name: str, line: str) -> Change:
    return lambda scratch: objective(scratch, name, line)


def without(*paths: str) -> Change:
    """Delete outputs; DVC's cache has them."""

    def change(scratch: Scratch) -> None:
        for each in paths:
            path = scratch.folder / each
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def lost(path: str) -> Change:
    """Delete an output and all that DVC's cache has of it."""

    def change(scratch: Scratch) -> None:
        stages = yaml.safe_load((scratch.folder / "dvc.lock").read_text())["stages"]
        outs = {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}
        (scratch.folder / ".dvc/cache/files/md5" / outs[path][:2] / outs[path][2:]).unlink()
        without(path)(scratch)

    return change


def written(path: str, text: str) -> Change:
    """Write over an output."""

    def change(scratch: Scratch) -> None:
        (scratch.folder / path).unlink()
        (scratch.folder / path).write_text(text)

    return change


# By name: what is changed, and a stage with a piece of why it is due.
CHANGES: dict[str, tuple[Change, str, str]] = {
    "nothing": (code("born_again", "# A comment."), "", ""),
    "machine": (params(machine={"state_every": 5}), "", ""),
    "lr": (
        params(method={"soft_targets": {"recipe": {"lr": 0.15}}}),
        "method@soft_targets",
        "recipe.lr was 0.2, is 0.15",
    ),
    "epochs": (params(direct={"recipe": {"epochs": 3}}), "direct", "recipe.epochs was 2, is 3"),
    "rule": (params(ensemble={"rule": "logits"}), "ensemble", 'rule was "probabilities", is "logits"'),
    "update": (params(mutual={"update": "simultaneous"}), "mutual", 'update was "sequential", is "simultaneous"'),
    "carries": (params(mutual={"carries": 2}), "mutual", "carries was 1, is 2"),
    "longer": (params(born_again={"generations": 2}), "born_again@g2", 'action was "carry", is "train"'),
    "shorter": (params(refinery={"generations": 1}), "refinery@g2", 'action was "train", is "carry"'),
    "links": (params(assistant={"links": 2}), "assistant@t2", 'action was "carry", is "train"'),
    "from": (params(edges={"compress": "student"}), "compress@c1", "it did not read artifacts/student before"),
    "order": (params(compress={"order": ["distil", "prune", "export"]}), "compress@c3", 'kind was "tune", is "export"'),
    "teacher": (params(teacher={"recipe": {"epochs": 3}}), "teacher", "recipe.epochs was 4, is 3"),
    "seed": (params(seeds={"train": 1}), "teacher", "seed was "),
    "views": (params(views={"shift": 2}), "student", "views.shift was 1, is 2"),
    "images": (params(data={"per_class": 8}), "prepare", "data.per_class was 10, is 8"),
    "unused code": (code("born_again", "UNUSED = 1"), "born_again@g1", "its code was changed (objective born_again)"),
    "code": (code("label_refinery", "UNUSED = 1"), "refinery@g1", "its code was changed (objective label_refinery)"),
    "no folder": (without("artifacts/teacher"), "teacher", "artifacts/teacher is missing; DVC's cache holds that"),
    "no figures": (without("metrics/student.json", "curves/direct.csv"), "direct", "curves/direct.csv is missing"),
    "written over": (written("metrics/student.json", "{}"), "student", "metrics/student.json was changed"),
    "lost": (lost("metrics/direct.json"), "direct", "metrics/direct.json is not in DVC's cache"),
    "lost teacher": (lost("metrics/teacher.json"), "teacher", "metrics/teacher.json is not in DVC's cache"),
    "no lock": (without("dvc.lock"), "student", "it has not run yet; DVC's cache holds that result"),
}
# What is really trained and compared: little of it, as each stage takes seconds.
REAL = {
    "lr": ("method@soft_targets", "direct"),
    "no folder": ("direct",),
    "lost": ("direct",),
    "longer": ("born_again@g4",),
    "unused code": ("ensemble",),
    "shorter": ("refined",),
}
# In place of `python -m stages`, for all but `plan`: each output is one of three texts of its own, by what is read.
STAND_IN = """
import hashlib, json, pathlib, sys
name = "/".join(sys.argv[1:])
if name == "plan":
    from stages.real import main
    main()
else:
    deps, outs = json.loads(pathlib.Path("stands_in.json").read_text())[name]
    files = [each for dep in map(pathlib.Path, deps) for each in ([dep] if dep.is_file() else sorted(dep.rglob("*")))]
    read = hashlib.md5(b"".join(each.read_bytes() for each in files if each.is_file())).digest()
    for out in map(pathlib.Path, outs):
        path = out if out.suffix else out / "file"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{out}: {read[0] % 3}")
"""


@pytest.fixture
def stood_in(copied: Scratch) -> Scratch:
    """The finished lineage, whose stages no longer train: the same graph, planned by the same code."""
    found = {each.name: (each.deps, each.outs) for each in stages(copied.folder)}
    (copied.folder / "stands_in.json").write_text(json.dumps(found))
    main = copied.folder / "stages" / "__main__.py"
    main.rename(main.with_name("real.py"))
    main.write_text(STAND_IN)
    return copied


@pytest.mark.long
@pytest.mark.parametrize("name", REAL)
def test_it_says_what_dvc_then_does(copied: Scratch, name: str) -> None:
    change, stage, why = CHANGES[name]
    change(copied)
    found = check(copied, *REAL[name])
    assert why in found.why(stage)
    again = said(copied, *REAL[name])
    assert again.of("cached") == {*again.rows}, "all is done"


@pytest.mark.long
@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_told_with_its_reason(stood_in: Scratch, name: str) -> None:
    change, stage, why = CHANGES[name]
    change(stood_in)
    found = check(stood_in)
    if stage:
        assert why in found.why(stage)
    else:
        assert found.of("cached") == {*found.rows}


@pytest.mark.long
def test_a_random_walk_back_and_forth(stood_in: Scratch) -> None:
    """Change upon change, and back: DVC brings earlier results out of its cache, or does not."""
    choose = random.Random(21)
    start = (stood_in.folder / "params.yaml").read_text()
    for _ in range(20):
        name = choose.choice([*CHANGES, "back", "back", "back", "back"])
        if name == "back":
            (stood_in.folder / "params.yaml").write_text(start)
        else:
            with suppress(FileNotFoundError):  # what is to be deleted may be gone
                CHANGES[name][0](stood_in)
        check(stood_in)


@pytest.mark.long
def test_without_targets_all_stages_are_told(stood_in: Scratch) -> None:
    stood_in.edit({"direct": {"recipe": {"lr": 0.15}}})
    found = check(stood_in)
    assert found.of("runs") == {"direct"}
    assert found.of("may run") == {"summary", "report"}
    assert found.why("summary") == "reads what direct writes anew"


@pytest.mark.parametrize("edit", [{}, {"student": {"recipe": {"lr": 0.15}}}, {"student": {"lr": 0.15}}], ids=str)
@pytest.mark.parametrize(
    "as_new", [pytest.param(False, id=""), pytest.param(True, id="as cloned", marks=pytest.mark.long)]
)
def test_it_writes_nothing(copied: Scratch, edit: dict[str, Any], as_new: bool) -> None:
    copied.edit(edit)
    if as_new:
        shutil.rmtree(copied.folder / ".dvc/tmp", ignore_errors=True)
        (copied.folder / ".dvc/.gitignore").unlink(missing_ok=True)
    before = tree(copied)
    refused = edit == {"student": {"lr": 0.15}}
    printed = copied.run(*DRY, code=int(refused))
    after = tree(copied)
    compiled = {path for path in before.keys() | after.keys() if "__pycache__" in path}
    folders = {Path(path).parent.as_posix() for path in compiled}
    assert {**before, **dict.fromkeys(compiled | folders)} == {**after, **dict.fromkeys(compiled | folders)}
    assert "dvc.lock" in before
    if refused:
        assert printed == copied.stage("plan", code=1), "the one sentence of plan"


def test_a_target_that_is_none_is_one_sentence(lineage: Scratch) -> None:
    assert lineage.run(*DRY, "techer", code=1) == "error: unknown stage 'techer', did you mean 'teacher'?\n"
    answer = lineage.run(sys.executable, "-m", "pipeline", "repro", "--json", code=1)
    assert answer == "error: --json is for what --dry prints: give both, or neither\n"


@pytest.mark.long
def test_only_what_the_targets_need_is_told(lineage: Scratch) -> None:
    assert {*said(lineage, "assistant@t1").rows} == {"prepare", "teacher", "assistant@t1"}
    assert lineage.run(*DRY, "teacher").splitlines()[-1] == "nothing to do: all 2 stages are cached"


def test_it_imports_no_torch(lineage: Scratch) -> None:
    names = imported(lineage, "pipeline", "repro", "--dry", "teacher")
    assert "dvc" in names
    assert not names & {"torch", "torchvision", "sklearn", "onnx"}


@pytest.mark.long
def test_where_nothing_has_run_all_is_new_and_nothing_measured(fresh: Scratch) -> None:
    found = said(fresh, "student")
    assert found.of("runs") == {"prepare", "teacher", "assistant@t1", "assistant@t2", "assistant@t3", "student"}
    assert found.rows["teacher"] == {
        "stage": "teacher",
        "state": "runs",
        "seconds": None,
        "bytes": None,
        "why": ["it has not run yet"],
    }
    unknown = "prepare, teacher, assistant@t1, student"
    *_, last = fresh.run(*DRY, "student").splitlines()
    assert last == f"not counted, as nothing was measured of it yet: {unknown}"


def test_least_and_most_are_what_surely_runs_and_all_that_may() -> None:
    found = [
        Prospect("a", "runs", ("x",), Expected(60.0, 1_000_000)),
        Prospect("b", "may run", ("x",), Expected(240.0, 2_500_000)),
        Prospect("c", "runs", ("x",), UNKNOWN),
        Prospect("d", "cached", (), None),
    ]
    assert closing(found) == [
        "at least: 2 stages in more than 60 s, writing more than 1.0 MB of labels and weights",
        "at most:  3 stages in more than 5 min, writing more than 3.5 MB of labels and weights",
        "1 of 4 stages are cached; times are of one stage at a time",
        "not counted, as nothing was measured of it yet: c",
    ]
    assert closing([each for each in found if each.stage != "c"])[:2] == [
        "at least: 1 stage in about 60 s, writing 1.0 MB of labels and weights",
        "at most:  2 stages in about 5 min, writing 3.5 MB of labels and weights",
    ]


def test_of_what_is_off_one_line_tells_and_a_program_is_told_each(capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        Prospect("teacher", "runs", ("x",), UNKNOWN),
        Prospect("refinery@g1", "runs", ("x",), Expected(1.0, 0), idle=True),
        Prospect("refined", "may run", ("x",), Expected(1.0, 0), idle=True),
        Prospect("mutual", "cached", (), None, idle=True),
    ]
    tell(found, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split()[0] for line in lines if " runs " in f"{line} " or "cached  " in f"{line}  "]
    assert rows[:2] == ["teacher", "mutual"]
    assert "not shown, since they are off or only carry, and take a second each: refinery@g1, refined" in lines
    assert "at most:  3 stages in more than 2 s, writing more than 0.0 kB of labels and weights" in lines
    tell(found, as_json=True)
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_what_is_off_is_known_by_its_spec(fresh: Scratch, tmp_path: Path) -> None:
    scratch = fresh.copy(tmp_path / "repository", tmp_path / "state")
    scratch.edit({"mutual": None})
    told = scratch.run(*DRY)
    (line,) = [line for line in told.splitlines() if line.startswith("not shown")]
    assert "mutual" in line or "more" in line
    assert not [line for line in told.splitlines() if line.split()[:1] == ["mutual"]]
    assert [line for line in told.splitlines() if line.split()[:1] == ["teacher"]]
