"""The figures that people compare, of nodes made by hand."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.config.select import metric_of
from pipeline.lineage import node, results, tables
from pipeline.lineage.node import EMPTY_CURVE, Node
from pipeline.lineage.results import FIGURES, Row


def numbers(validation: float, test: float, seconds: float = 1.0, **more: Any) -> dict[str, Any]:
    return {
        "validation": {"accuracy": validation},
        "test": {"accuracy": test},
        "parameters": 10,
        "flops": 100,
        "bytes": 1000,
        "cost": {"training_seconds": seconds},
        **more,
    }


def table() -> list[Row]:
    """A run whose student beats the baseline, with a slot that carries, and a compress chain."""
    lineage = ({"teacher": "teacher", "read": "labels", "hash": "0" * 64},)
    rows = [
        Row(Node(name, "trained", lineage=() if name == "teacher" else lineage), numbers(0.8, 0.6)) for name in FIGURES
    ]
    rows[1] = Row(rows[1].node, numbers(0.9, 0.7, seconds=5))
    rows[4] = Row(Node("refined", "carried", origin="refinery/g1"), numbers(0.85, 0.65, seconds=3))
    rows.append(Row(Node("refinery/g1", "trained", lineage=lineage), numbers(0.85, 0.65, seconds=3)))
    rows.append(Row(Node("refinery/g2", "carried", origin="refinery/g1"), numbers(0.85, 0.65, seconds=3)))
    latency = {"batch_1": {"ms": 1.0, "teacher_ms": 4.0, "ratio": 4.0}}
    cost = {"training_seconds": 2.0, "latency": latency}
    rows.append(Row(Node("compress/c1", "computed"), numbers(0.7, 0.5, step="thin", cost=cost) | {"bytes": 250}))
    return rows


def test_what_ships_is_told_against_the_teacher() -> None:
    shipped = results.figures(table())["shipped"]
    assert (shipped["bytes"], shipped["smaller"], shipped["faster"]) == (250, 4.0, {"batch_1": 4.0})


def test_figures_are_of_each_network_and_what_only_carries_costs_nothing() -> None:
    found = results.figures(table())
    assert found["validation"]["student"] == 0.9
    assert found["test"]["student"] == 0.7
    assert found["test"]["shipped"] == 0.5
    assert found["generations"] == {"refinery": 1, "born_again": 0}
    seconds = [1, 5, 1, 1, 1]  # of FIGURES without `refined`, which is the generation's own
    assert found["cost"]["training_seconds"] == sum(seconds) + 3 + 2


def test_the_table_tells_each_network_once_beside_the_baseline() -> None:
    header, *cells = results.lines(table())
    by_name = {line[0]: dict(zip(header, line, strict=True)) for line in cells}
    assert by_name["student"]["Δ test"] == "+10.0"
    assert by_name["baseline"]["Δ test"] == "+0.0"
    assert by_name["refined"]["learned from"] == "= refinery/g1"
    assert by_name["refined"]["seconds"] == "", "another network's"
    assert by_name["student"]["learned from"] == "teacher"
    assert "refinery/g2" not in by_name


def test_without_a_baseline_there_is_no_difference_to_it_and_figures_are_of_what_there_is() -> None:
    rows = [row for row in table() if row.node.name not in ("baseline", "ensemble")]
    header, *cells = results.lines(rows)
    assert "Δ test" not in header and {len(line) for line in cells} == {len(header)}
    found = results.figures(rows)
    assert {*found["test"]} == {*FIGURES, "shipped"} - {"baseline", "ensemble"}
    assert found["test"].keys() == found["validation"].keys()
    without = [row for row in table() if row.node.name != "teacher"]
    assert results.lines(without) and not tables.lines(without), "steps are told beside a teacher"


def test_what_is_not_made_yet_is_told_from_what_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with node.writing("refinery/g1") as folder:
        node.write(folder, Node("refinery/g1", "trained"))
    names = ["teacher", "refinery/g1", "refinery/g2", "refinery/g3"]
    there, missing = results.made(names)
    assert there == ["refinery/g1"] and [*results.in_runs(missing)] == ["teacher", "refinery/g2..g3"]
    assert results.learned_from(Node("direct", "skipped")) == ""


def by_class(balanced: float, nll: float) -> dict[str, float]:
    return {"accuracy": 0.6, "balanced_accuracy": balanced, "macro_f1": 0.5, "top_5": 0.9, "nll": nll}


def test_the_table_has_what_networks_reach_by_class_where_that_is_known() -> None:
    rows = table()
    assert not {"balanced", "macro F1", "top 5"} & {*results.lines(rows)[0]}
    rows[1] = Row(rows[1].node, rows[1].metrics | {"test": by_class(0.4, 1.5)})
    header, *cells = results.lines(rows)
    student, baseline = (dict(zip(header, cells[k], strict=True)) for k in (1, 2))
    assert [student[key] for key in ("test", "balanced", "macro F1", "top 5")] == ["60.0", "40.0", "50.0", "90.0"]
    assert [baseline[key] for key in ("test", "balanced", "macro F1", "top 5")] == ["60.0", "", "", ""]


def test_the_figures_that_are_compared_have_the_metric_that_decides_beside_accuracies() -> None:
    splits = {"validation": by_class(0.5, 1.0), "test": by_class(0.4, 1.5)}
    rows = [Row(row.node, row.metrics | splits) for row in table()]
    plain, found = results.figures(rows), results.figures(rows, metric_of("nll"))
    assert "nll" not in plain and found == plain | {"nll": found["nll"]}
    assert found["nll"]["validation"].keys() == found["nll"]["test"].keys() == found["test"].keys()
    assert (found["nll"]["validation"]["student"], found["nll"]["test"]["student"]) == (1.0, 1.5)


def test_an_ensemble_costs_what_its_members_cost_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    members = ["born_again/g1", "born_again/g2"]
    lineage = tuple({"teacher": name, "read": "labels", "hash": "0" * 64} for name in members)
    for each in (*(Node(name, "trained") for name in members), Node("ensemble", "computed", lineage=lineage)):
        with node.writing(each.name) as folder:
            node.write(folder, each)
        node.write_numbers(each.name, numbers(0.5, 0.5), EMPTY_CURVE)
    (row,) = results.rows(["ensemble"])
    assert [row.metrics[key] for key in ("parameters", "flops", "bytes")] == [20, 200, 2000]


def without_size() -> list[Row]:
    """The same run under a teacher of whose size and speed nothing is known."""
    rows = table()
    cost = rows[-1].metrics["cost"] | {"latency": {"batch_1": {"ms": 1.0}}}
    rows[-1] = Row(rows[-1].node, rows[-1].metrics | {"cost": cost})
    known = {key: value for key, value in rows[0].metrics.items() if key not in ("parameters", "flops", "bytes")}
    rows[0] = Row(Node("teacher", "imported"), known)
    return rows


def test_what_is_not_known_of_a_teacher_is_left_out_and_never_0() -> None:
    shipped = results.figures(without_size())["shipped"]
    assert shipped == {"parameters": 10, "flops": 100, "bytes": 250}
    header, *cells = results.lines(without_size())
    teacher = dict(zip(header, cells[0], strict=True))
    assert (teacher["node"], teacher["learned from"], teacher["parameters"]) == ("teacher", "imported", "")
    rows = without_size()
    rows[-1] = Row(Node("compress/c1", "computed", lineage=rows[1].node.lineage), rows[-1].metrics | STEP)
    header, first, *_, last = tables.lines(rows)
    teacher, step = (dict(zip(header, line, strict=True)) for line in (first, last))
    assert {teacher[key] for key in ("parameters", "MFLOPs", "bytes", "smaller", "faster 1", "memory MB")} == {""}
    assert (step["bytes"], step["smaller"], step["faster 1"]) == ("250", "", "")


STEP = {
    "teacher": {"agreement": 0.9},
    "cost": {"training_seconds": 2.0, "latency": {"batch_1": {"ms": 1.0}}, "timed_on": "cpu", "peak_memory_bytes": 1},
}
