"""The tree shows who taught whom, and hides what only stands for another."""

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.commands.status import Standing, standings
from pipeline.commands.tree import lines as cells
from pipeline.commands.tree import tree
from pipeline.console.terminal import uncut
from pipeline.lineage.node import Node
from pipeline.planning.specs.spec import NodeSpec
from tests.scratch import Scratch

Drawn = Callable[[Scratch], list[str]]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Drawn:
    """Gives the lines of the tree."""
    monkeypatch.setenv("COLUMNS", "20")

    def lines(scratch: Scratch) -> list[str]:
        monkeypatch.chdir(scratch.folder)
        uncut(tree(standings()))
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    return lines


def line(lines: list[str], name: str) -> str:
    return next(each for each in lines if f" {name} " in f"{each} ")


def test_after_a_whole_run(lineage: Scratch, drawn: Drawn) -> None:
    lines = drawn(lineage)
    assert lines[0].startswith("hard labels")
    depth = {name: line(lines, name).index(name) for name in ("teacher", "assistant/t1", "student", "refinery/g1")}
    assert depth == {"teacher": 4, "assistant/t1": 8, "student": 12, "refinery/g1": 8}
    assert line(lines, "assistant/t1").endswith("= assistant/t2..t3")
    assert line(lines, "baseline").endswith("= refined")
    assert line(lines, "refinery/g1").endswith("= refinery/g2..g4")
    tuned = line(lines, "compress/c3")
    assert tuned.endswith("taught by teacher")
    assert tuned.index("compress/c3") == 16, "it goes on from the step before, whoever teaches it"
    assert line(lines, "ensemble").endswith("computed")
    assert not [each for each in lines if "dkd" in each or "stale" in each], "what is switched off is not shown"
    assert [each for each in lines if "refinery" in each] == [line(lines, "refinery/g1")]
    rows = [dict(zip(cells([])[0], row, strict=True)) for row in cells(standings())[1:]]
    below = {row["node"]: row["below"] for row in rows}
    assert below["teacher"] == "" and below["student"] == "assistant/t1" and below["compress/c3"] == "compress/c2"
    assert len(rows) == len(lines) - 1, "a row a line"
    assert {row["node"]: row["carried by"] for row in rows}["refinery/g1"] == "refinery/g2..g4"


def test_before_the_first_run(fresh: Scratch, drawn: Drawn) -> None:
    lines = drawn(fresh)
    assert line(lines, "student").endswith("not run yet")
    assert line(lines, "born_again/g1").index("born_again/g1") == 8


def test_after_a_change_what_is_stale_says_why(copied: Scratch, drawn: Drawn) -> None:
    copied.edit({"direct": {"recipe": {"epochs": 3}}})
    lines = drawn(copied)
    assert line(lines, "direct").endswith("stale: its spec was modified")
    assert "stale" not in line(lines, "student")


def test_a_network_hangs_on_its_first_teacher_and_what_is_computed_on_its_last_member() -> None:
    def standing(name: str, status: Any, *teachers: str) -> Standing:
        lineage = tuple({"teacher": each, "read": "labels", "hash": "0" * 64} for each in teachers)
        return Standing(NodeSpec(node=name), Node(name, status, lineage=lineage), None, None)

    root = tree(
        [
            standing("teacher", "trained"),
            standing("a", "trained", "teacher"),
            standing("b", "trained", "teacher", "a"),
            standing("ensemble", "computed", "a", "b"),
        ]
    )
    (top,) = root.children
    assert [str(each.label).split()[0] for each in top.children] == ["a", "b"]
    a, b = top.children
    assert not a.children
    assert [str(each.label) for each in b.children] == ["ensemble  computed  of a, b"]
    assert str(b.label) == "b  taught by a"
