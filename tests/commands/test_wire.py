"""The lists of dvc.yaml that follow from its stages: written between marks, refused by plan where they are others."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pipeline.base.errors import UserError
from pipeline.commands.wire import BEGIN, END, wire, wired
from pipeline.config.yaml import parse
from pipeline.planning import graph, wiring
from tests.scratch import ROOT, Scratch

DVC = (ROOT / "dvc.yaml").read_text()
DAG = parse(DVC, "dvc.yaml")
REFINERY = "      g8: {prev: refinery/g7}\n"
METHOD = "      fsp: {reads: teacher}\n"
SLOTS = "      g9: {prev: refinery/g8}\n      g10: {prev: refinery/g9}\n"
LONGER = DVC.replace(REFINERY, f"{REFINERY}{SLOTS}")
NEW = DVC.replace(METHOD, f"{METHOD}      mine: {{reads: teacher}}\n")
# Not in our file: lists in brackets, on one line and on several, with quotes; no indent; no marks.
UNMARKED = re.sub(rf" *({re.escape(BEGIN)}|{re.escape(END)})\n", "", DVC)
DUMPED = yaml.safe_dump(DAG, sort_keys=False)
FLOW = yaml.safe_dump(DAG, sort_keys=False, default_flow_style=None, width=100)
ONE_LINE = yaml.safe_dump(DAG, sort_keys=False, default_flow_style=True, width=100_000)


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def hand_written(text: str) -> list[str]:
    """The lines outside of the marks."""
    return re.sub(rf"^ *{re.escape(BEGIN)}\n.*?^ *{re.escape(END)}\n", "", text, flags=re.DOTALL | re.MULTILINE).split(
        "\n"
    )


def last(line: str) -> str:
    """Without the line where it stands for the last time: in the report's deps."""
    before, _, after = DVC.rpartition(line)
    return before + after


def plain(text: str) -> object:
    """What a dvc.yaml says, whatever the order of its lists."""

    def unordered(value: object) -> object:
        if isinstance(value, dict):
            return {key: unordered(each) for key, each in value.items()}
        return sorted(map(str, value)) if isinstance(value, list) and all(isinstance(v, str) for v in value) else value

    whole = parse(text, "dvc.yaml")
    assert isinstance(whole, dict)
    return [unordered(whole["stages"]), whole["plots"], whole["metrics"]]


def test_the_lists_of_the_repository_are_those_of_its_stages() -> None:
    assert wired(DVC) == DVC
    assert DVC.count(BEGIN) == DVC.count(END) == len(wiring.DEPS) + len(wiring.PLOTS)


@pytest.mark.parametrize("text", [UNMARKED, DUMPED, FLOW, UNMARKED.replace("\n", "\r\n"), DVC.rstrip("\n")])
def test_the_first_call_sets_marks_and_later_ones_find_them(text: str) -> None:
    found = wired(text)
    assert found.count(BEGIN) == DVC.count(BEGIN)
    assert plain(found) == plain(DVC)
    assert wired(found) == found
    assert ("\r\n" in text) == ("\r\n" in found)


def test_what_stands_outside_of_the_marks_stays_as_it_is() -> None:
    """Comments, quotes, blank lines, brackets: byte for byte."""
    assert hand_written(wired(UNMARKED)) == hand_written(DVC)
    changed = DVC.replace(REFINERY, f"{REFINERY}      g9:   {{prev: refinery/g8}}  # one more\n\n").replace(
        "      - plan/student.json\n", '      # by hand\n      - "plan/student.json"   # why\n\n      - my/own.csv\n'
    )
    found = wired(changed)
    assert hand_written(found) == hand_written(changed)
    assert "refinery/g9" in found.split(BEGIN)[2]


def test_a_path_of_a_list_that_stands_outside_of_the_marks_is_taken_in() -> None:
    line = "      - artifacts/assistant/t4\n"
    assert DVC.count(f"{line}      {END}\n") == 1
    assert wired(DVC.replace(f"{line}      {END}\n", f"      {END}\n{line}")) == DVC


def test_a_slot_is_one_line_and_wire() -> None:
    lists = parse(wired(LONGER), "dvc.yaml")
    stages, plots = lists["stages"], {name: plot for each in lists["plots"] for name, plot in each.items()}
    for slot in ("g9", "g10"):
        assert f"artifacts/refinery/{slot}" in stages["refined"]["deps"]
        assert f"artifacts/refinery/{slot}" not in stages["ensemble"]["deps"]
        assert {f"artifacts/refinery/{slot}", f"metrics/refinery/{slot}.json"} <= {*stages["summary"]["deps"]}
        assert f"curves/refinery/{slot}.csv" in stages["report"]["deps"]
        for name in ("generations", "refinery_validation_accuracy"):
            assert plots[name]["y"][f"curves/refinery/{slot}.csv"] == "validation_accuracy"
    refined = stages["refined"]["deps"]
    assert refined.index("artifacts/refinery/g9") == refined.index("artifacts/refinery/g8") + 1
    # Taken out again, they are gone from every list.
    assert wired(wired(LONGER).replace(SLOTS, "")) == DVC


def test_a_curve_with_a_column_of_its_own_keeps_it() -> None:
    own = "        curves/teacher.csv: [train_loss, validation_accuracy]\n"
    changed = LONGER.replace("        curves/teacher.csv: validation_accuracy\n", own)
    found = wired(changed)
    assert found.count(own) == 2
    # New curves have the column of the first.
    assert '        curves/refinery/g10.csv: ["train_loss", "validation_accuracy"]\n' in found


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            NEW,
            "stages.summary.deps lacks artifacts/method/mine, metrics/method/mine.json: run `python -m pipeline wire`",
        ),
        (LONGER, "stages.refined.deps lacks artifacts/refinery/g9, artifacts/refinery/g10: run"),
        (
            DVC.replace(METHOD, ""),
            "stages.summary.deps has artifacts/method/fsp, metrics/method/fsp.json, which no stage above makes: run",
        ),
        (DVC.replace("      - metrics/teacher.json\n", "", 1), "stages.summary.deps lacks metrics/teacher.json: run"),
        (last("      - curves/mutual/members\n"), "stages.report.deps lacks curves/mutual/members: run"),
        (
            DVC.replace("        curves/direct.csv: validation_accuracy\n", ""),
            "plots.student_validation_accuracy.y lacks curves/direct.csv: run `python -m pipeline wire`",
        ),
        (last("      - artifacts/mutual\n"), "stages.report.deps lacks artifacts/mutual: run"),
    ],
)
def test_plan_refuses_other_lists_and_takes_what_wire_writes(text: str, sentence: str) -> None:
    path = Path("dvc.yaml")
    path.write_text(text)
    with pytest.raises(UserError) as refused:
        graph.read(path)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
    wire(path)
    graph.read(path)
    assert path.read_text() == wired(text)
    assert [each.name for each in Path().iterdir()] == ["dvc.yaml"]


def test_plan_needs_no_marks_and_no_order() -> None:
    path = Path("dvc.yaml")
    path.write_text(yaml.safe_dump(DAG, sort_keys=False))
    assert graph.read(path) == DAG["stages"]
    summary = DAG["stages"]["summary"]["deps"]
    turned = {**DAG, "stages": {**DAG["stages"], "summary": {**DAG["stages"]["summary"], "deps": summary[::-1]}}}
    path.write_text(yaml.safe_dump(turned, sort_keys=False))
    graph.read(path)


def test_what_has_no_rule_is_the_users() -> None:
    """A stage that makes no network, a dep by hand, a plot: neither asked for nor refused."""
    own = "  mine:\n    cmd: x\n    outs: [metrics/mine.json, artifacts/mine_raw]\n\n  summary:\n"
    text = DVC.replace("  summary:\n", own).replace(
        "      - plan/summary.json\n",
        "      - plan/summary.json\n      - metrics/mine.json\n      - metrics/refined.json\n",
    )
    text += "  - own:\n      x: epoch\n      y: {curves/teacher.csv: train_loss}\n  - curves/teacher.csv\n"
    assert wired(text) == text
    Path("dvc.yaml").write_text(text)
    graph.read(Path("dvc.yaml"))


def test_a_stage_of_another_form_is_left_to_dvc() -> None:
    odd = "  a:\n  b: 3\n  c: [x]\n  d: {outs: x}\n  e: {foreach: [x], do: {outs: [y]}}\n  f: {outs: [1, null]}\n"
    text = DVC.replace("\n  summary:\n", f"\n{odd}\n  summary:\n")
    assert wired(text) == text


def test_a_family_that_leaves_networks_is_read_with_all_that_it_leaves() -> None:
    own = "  mine:\n    cmd: x\n    outs: [artifacts/mine, {metrics/mine.json: {cache: false}}, curves/mine/a.csv]\n\n"
    stages = parse(wired(DVC.replace("  summary:\n", f"{own}  summary:\n")), "dvc.yaml")["stages"]
    assert stages["summary"]["deps"][-2:] == ["artifacts/mine", "metrics/mine.json"]
    assert stages["report"]["deps"][-3:] == ["artifacts/mine", "metrics/mine.json", "curves/mine/a.csv"]
    # Below the readers it is no part of what they read.
    below = DVC.replace("\nmetrics:\n", f"\n{own}metrics:\n")
    assert wired(below) == below


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: "stages: [", r"^dvc\.yaml, line \d.*expected"),
        (lambda text: "", r"^dvc\.yaml lacks stages\.assistant\.foreach"),
        (lambda text: text.replace("  refined:", "  refind:"), r"^dvc\.yaml lacks stages\.refined\.deps"),
        (lambda text: text.replace("  teacher:", "  techer:"), r"^dvc\.yaml lacks stages\.teacher"),
        (lambda text: text.replace("  method:", "  methods:"), r"^dvc\.yaml lacks stages\.method\.foreach"),
        (
            lambda text: UNMARKED.replace(
                "deps:\n      - plan/refined.json", "deps: [  # mine\n      plan/refined.json,"
            ).replace("      - artifacts/${edges.refinery}", "      artifacts/refinery/g1]\n    x:\n      - a"),
            r"stages\.refined\.deps has comments in brackets: write one item a line there",
        ),
        (lambda text: ONE_LINE, r"stages\.student\.deps stands in brackets of others: write one item a line there"),
        (
            lambda text: text.replace("      - plan/student.json", "      -\n        artifacts/teacher"),
            "one item a line",
        ),
    ],
)
def test_what_cannot_be_written_is_one_sentence(change: Callable[[str], str], sentence: str) -> None:
    path = Path("dvc.yaml")
    text = change(DVC)
    path.write_text(text)
    with pytest.raises(UserError, match=sentence) as refused:
        wire(path)
    assert "\n" not in str(refused.value)
    assert path.read_text() == text


def test_no_dvc_yaml_here() -> None:
    with pytest.raises(UserError, match=r"^there is no dvc\.yaml in"):
        wire(Path("dvc.yaml"))


def test_a_list_that_is_an_alias_is_refused() -> None:
    text = DVC.replace("  student:\n", "  x:\n    deps: &deps\n      - plan/student.json\n\n  student:\n", 1)
    start = text.index("    deps:\n      - plan/student.json")
    end = text.index("    outs: [artifacts/student")
    with pytest.raises(UserError, match=r"stages\.student\.deps is an alias or merged in: write the list out there"):
        wired(text[:start] + "    deps: *deps\n" + text[end:])


@pytest.mark.long
def test_check_prints_what_would_change_and_changes_nothing(fresh: Scratch, tmp_path: Path) -> None:
    scratch = fresh.copy(tmp_path / "repository")
    command = (sys.executable, "-m", "pipeline", "wire")
    assert scratch.run(*command, "--check") == "dvc.yaml: its lists follow from its stages, no change\n"
    path = scratch.folder / "dvc.yaml"
    text = path.read_text()
    changed = text.replace("  method:\n    foreach:\n", "  method:\n    foreach:\n      dist: {reads: teacher}\n")
    path.write_text(changed)
    said = scratch.run(*command, "--check", code=1)
    assert "+      - artifacts/method/dist\n" in said or "+    - artifacts/method/dist\n" in said
    assert path.read_text() == changed
    assert "stages.summary.deps lacks artifacts/method/dist" in scratch.stage("plan", code=1)
    assert scratch.run(*command) == "dvc.yaml: its lists are written\n"
    assert scratch.run(*command, "--check").endswith("no change\n")
    scratch.stage("plan")
