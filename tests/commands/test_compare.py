"""Experiments side by side, made by hand: which figures are told of which, and what a difference is of."""

import json
from typing import Any

from pipeline.commands import compare
from pipeline.commands.compare import Column
from pipeline.dvc.experiments import Experiment
from pipeline.dvc.lock import Lock


def made(name: str, seed: int, figure: float, lr: float = 0.1, stages: dict[str, Any] | None = None) -> Experiment:
    """An experiment with one figure of its summary, and one network that the cache knows."""
    parameters = {"seeds.train": seed, "lr": lr}
    experiment = Experiment(name, name, None, parameters, {"cost.training_seconds": 10 * figure})
    numbers = {"student": {"validation": {"accuracy": figure}, "test": {"accuracy": figure / 2}}}
    vars(experiment).update(numbers=numbers, lock=Lock(stages or {}))  # as their first reading would
    return experiment


def column(*members: Experiment) -> Column:
    return Column(members[0].name, members)


def test_validation_and_test_are_each_what_they_are_called() -> None:
    assert compare.figures(made("a", 0, 0.8)) == {
        "validation.student": 0.8,
        "test.student": 0.4,
        "cost.training_seconds": 8.0,
    }


def test_a_difference_is_that_to_the_first_over_the_seeds_that_both_have() -> None:
    """The second arm has a seed more, of which nothing can be said; by itself it would move the difference."""
    first = column(made("a", 0, 0.5), made("a", 1, 0.7))
    second = column(made("b", 0, 0.6), made("b", 1, 0.8), made("b", 2, 0.1))
    cells, same = compare.changes([first, second])
    by_figure = {key: (a, b) for key, a, b in cells[1:]}
    assert by_figure["validation.student"] == ("60.0 ± 14.1", "50.0 ± 36.1 (+10.0 [+10.0, +10.0])")
    assert same == []


def test_what_is_the_same_in_all_is_only_named() -> None:
    cells, same = compare.changes([column(made("a", 0, 0.5)), column(made("b", 0, 0.5, lr=0.2))])
    assert cells == [("figure", "a", "b")]
    assert compare.alike(same) == ["student", "cost.training_seconds"]
    assert compare.parameters([column(made("a", 0, 0.5)), column(made("b", 0, 0.5, lr=0.2))])[1:] == [
        ("lr", "0.1", "0.2")
    ]


def chosen(name: str, select: str, nll: float) -> Experiment:
    """An experiment in which that metric decides."""
    found = made(name, 0, 0.5)
    found.parameters["select"] = select
    split = {"accuracy": 0.5, "nll": nll}
    vars(found).update(numbers={"student": {"validation": split, "test": split}})
    return found


def test_where_another_metric_decides_in_one_of_them_all_are_compared_by_it_too() -> None:
    cells, same = compare.changes([column(chosen("a", "accuracy", 1.5)), column(chosen("b", "nll", 1.25))])
    assert cells[1:] == [
        ("nll.validation.student", "1.500", "1.250 (-0.250)"),
        ("nll.test.student", "1.500", "1.250 (-0.250)"),
    ]
    assert {"validation.student", "test.student"} <= {*same}
    plain, _ = compare.changes([column(chosen("a", "accuracy", 1.5)), column(chosen("b", "accuracy", 1.25))])
    assert plain[1:] == [], "where accuracy decides in all, the table is as short as it was"


def stage(dep: str, out: str) -> dict[str, Any]:
    return {"deps": [{"path": "in", "md5": dep}], "outs": [{"path": "out", "md5": out}]}


def test_a_stage_is_shared_where_it_read_and_left_the_same_with_the_same_seed() -> None:
    first = [made("a", n, 0.5, stages={"teacher": stage("1", f"{n}"), "student": stage("1", f"{n}")}) for n in (0, 1)]
    other = [made("b", n, 0.5, stages={"teacher": stage("1", f"{n}"), "student": stage("2", f"{n}")}) for n in (0, 1)]
    said = compare.sharing([column(*first), column(*other)])
    assert said == [
        "a shares 0 of 2 stages among its seeds; its own: teacher, student",
        "b shares 1 of 2 stages with a; its own: student",
    ]
    assert json.loads(compare.seed_of(first[1])) == {"seeds.train": 1}
