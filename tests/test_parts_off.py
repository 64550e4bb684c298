"""Runs of which parts are off: all stages end well, and all that shows a run shows what there is."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.commands import status
from pipeline.commands.summary import gather
from pipeline.commands.tree import tree
from pipeline.config import params
from pipeline.console.text import visible
from pipeline.lineage import node
from pipeline.planning import graph
from pipeline.planning.build import build
from pipeline.planning.specs.readers import ReportSpec
from pipeline.planning.specs.slots import SkipSpec
from pipeline.planning.specs.spec import read_spec, read_spec_if
from pipeline.report.page import render
from pipeline.report.run import Reported
from tests.faults.graph import Stage, stages
from tests.planning.test_parts import ALL, COMPRESSION
from tests.report.pages import parse
from tests.scratch import Scratch

Params = dict[str, Any]
SUMMARY = (sys.executable, "-m", "pipeline", "summary")


def without(part: str, whole: Params) -> Params:
    """What is to be changed, and of what, so that a part is off."""
    own = {key: whole["student"][key] for key in ("architecture", "recipe", "objective")}
    return {
        "student": {
            "student": None,
            "baseline": {**own, **whole["baseline"]},
            "direct": own,
            "method": {},
            "compress": {**whole["compress"], "order": COMPRESSION},
        },
        "baseline": {"baseline": None, "edges": {**whole["edges"], "refinery": "teacher"}},
        "method": {"method": {}},
    }.get(part, {part: None})


def switch_off(scratch: Scratch, changes: Params) -> None:
    path = scratch.folder / "params.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}, sort_keys=False))


def concerned(scratch: Scratch, before: Path) -> list[Stage]:
    """The stages whose spec is another one than in the folder `before`, and those that read what these leave."""
    found: list[Stage] = []
    for stage in stages(scratch.folder):
        spec = f"{stage.name}.json"
        if stage.name == "plan":
            continue
        reads = {out for each in found for out in each.outs} & {*stage.deps}
        if reads or (scratch.folder / "plan" / spec).read_bytes() != (before / spec).read_bytes():
            found.append(stage)
    return found


def check_shown(asked: set[str]) -> None:
    """Everything that shows a run, in the current folder: of the nodes that were asked for, and of no others."""
    assert {line[0] for line in status.lines()[1:]} == asked
    assert not [each.state for each in status.standings() if each.node is None]
    named = str([visible(str(branch.label)) for branch in tree(status.standings()).children])
    assert "teacher" in named
    found = gather()
    assert not found.missing
    header, *lines = found.tables[0]
    shown = {line[0] for line in lines}
    assert shown <= asked and {name for name in asked if "/" not in name} <= shown
    assert ("Δ test" in header) == ("baseline" in asked)
    assert len(found.tables) == (2 if any(name.startswith("compress/") for name in asked) else 1)
    summary = files.read_json(Path("metrics/summary.json"))
    assert summary["test"].keys() - {"shipped"} <= asked
    page = parse(render(Reported(read_spec("report", ReportSpec))))
    assert not page.faults
    assert ("to baseline" in page.text) == ("baseline" in asked)


def asked_for(scratch: Scratch) -> set[str]:
    names = read_spec("report", ReportSpec).nodes
    off = {name for name in names if read_spec_if(name, SkipSpec)}
    assert off and {node.read(name).status for name in off} == {"skipped"}
    return {*names} - off


@pytest.mark.long
@pytest.mark.parametrize(
    "part", ["student", "baseline", "direct", "refinery", "born_again", "method", "mutual", "compress"]
)
def test_without_a_part_the_rest_is_as_it_was(
    part: str, copied: Scratch, lineage: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.faults.process import run_all

    monkeypatch.chdir(copied.folder)
    shutil.copytree("plan", before := copied.folder.with_name("before"))
    switch_off(copied, without(part, yaml.safe_load(Path("params.yaml").read_text())))
    copied.stage("plan")
    again = concerned(copied, before)
    run_all(again, copied.folder, copied.folder / ".dvc" / "training-state", copied.folder.with_name("log"))
    check_shown(asked := asked_for(copied))
    kept = sorted(asked - {each.name for each in again})
    assert copied.hashes(*kept) == lineage.hashes(*kept)


@pytest.mark.long
def test_teacher_and_student_alone_run_and_show_what_there_is_on_the_way(
    fresh: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.faults.process import run_all

    scratch = fresh.copy(tmp_path / "repository")
    monkeypatch.chdir(scratch.folder)
    switch_off(scratch, ALL)
    scratch.stage("plan")
    assert scratch.run(*SUMMARY, code=1) == "error: nothing has run yet: run `dvc repro`\n"
    state, log = scratch.folder / ".dvc" / "training-state", tmp_path / "log"
    first, rest = (
        [each for each in stages(scratch.folder) if (each.name in ("prepare", "teacher")) == early]
        for early in (True, False)
    )
    run_all(first, scratch.folder, state, log)
    said = scratch.run(*SUMMARY)
    assert "not made yet: assistant/t1..t3, student; `dvc repro` makes what is missing" in said
    assert "hard labels" in said and "Δ" not in said
    page = parse(render(Reported(read_spec("report", ReportSpec))))
    assert not page.faults and "Not made yet: " in page.text
    run_all([each for each in rest if each.name != "plan"], scratch.folder, state, log)
    check_shown({"teacher", "student", "assistant/t1", "assistant/t2", "assistant/t3"})
    assert scratch.run(sys.executable, "-m", "pipeline", "predict", "params.yaml", code=1).startswith(
        "error: the last run ships no file, as compress was null in params.yaml: give compress with export"
    )
    # DVC finds all that its stages are to leave, and nothing to do.
    scratch.run("dvc", "commit", "--quiet", "--force")
    assert scratch.repro() == ["plan"]


def test_commands_that_need_a_part_say_which(fresh: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.commands import import_weights, orders, study

    scratch = fresh.copy(tmp_path / "repository")
    monkeypatch.chdir(scratch.folder)
    switch_off(scratch, ALL)
    read, found = params.read(Path("params.yaml")), graph.read(Path("dvc.yaml"))
    with pytest.raises(UserError, match=r"params\.yaml: compress is null, and orders are of its steps: give compress"):
        orders.compare(read, found, ["prune"], [0])
    with pytest.raises(UserError, match=r"params\.yaml: baseline is null, and study compares each method with it"):
        study.compare(build(read, found), [], [0])
    for gone in ("baseline", "refinery", "born_again", "mutual/p1", "compress/distil"):
        with pytest.raises(UserError, match="--node: unknown network"):
            import_weights._target(gone)
    assert import_weights._target("student").section == ("student",)
