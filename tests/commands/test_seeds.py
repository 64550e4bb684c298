"""One experiment over seeds, made by hand: what is asked for, and what the table says of the figures."""

from typing import Any

import pytest

from pipeline.commands import seeds
from pipeline.config import params
from pipeline.dvc.experiments import Experiment
from pipeline.dvc.lock import Lock
from tests.scratch import ROOT

STAGES = {
    "teacher": {"outs": [{"path": "metrics/teacher.json", "md5": "1"}]},
    "baseline": {"outs": [{"path": "metrics/baseline.json", "md5": "2"}]},
    "student": {"outs": [{"path": "metrics/student.json", "md5": "3"}]},
}


def made(**reached: tuple[float, float]) -> Experiment:
    """An experiment with (validation, test) accuracy of some networks."""
    experiment = Experiment("x", "x")
    numbers = {name: {"validation": {"accuracy": v}, "test": {"accuracy": t}} for name, (v, t) in reached.items()}
    vars(experiment).update(numbers=numbers, lock=Lock(STAGES))  # as their first reading would
    return experiment


def test_the_table_is_in_the_order_of_the_lineage_and_pairs_each_network_with_the_baseline_of_its_seed() -> None:
    found = [
        made(student=(0.9, 0.62), baseline=(0.5, 0.60), teacher=(1.0, 0.9)),
        made(student=(0.7, 0.72), baseline=(0.5, 0.70)),
    ]
    _, *cells = seeds.lines(found)
    assert cells == [
        ("teacher", "1", "100.0", "90.0", "+30.0"),
        ("baseline", "2", "50.0 ± 0.0", "65.0 ± 7.1", ""),
        ("student", "2", "80.0 ± 14.1", "67.0 ± 7.1", "+2.0 [+2.0, +2.0]"),
    ]


def test_without_a_baseline_there_is_no_difference_to_it() -> None:
    header, *cells = seeds.lines([made(student=(0.9, 0.62), teacher=(1.0, 0.9)), made(student=(0.7, 0.72))])
    assert header == ("node", "seeds", "validation", "test")
    assert cells == [("teacher", "1", "100.0", "90.0"), ("student", "2", "80.0 ± 14.1", "67.0 ± 7.1")]


def test_the_table_is_of_the_metric_that_decides() -> None:
    found = [made(student=(0.9, 0.62), baseline=(0.5, 0.60)), made(student=(0.7, 0.72), baseline=(0.5, 0.70))]
    for each in found:
        each.parameters.update({"select": "nll", "seeds.data": 0, "seeds.views": 0, "seeds.train": 0})
        for splits in each.numbers.values():
            splits |= {split: {"accuracy": 0.0, "nll": value["accuracy"]} for split, value in splits.items()}
    header, baseline, student = seeds.lines(found)
    assert header[2] == "validation NLL"
    assert baseline == ("baseline", "2", "0.500 ± 0.000", "0.650 ± 0.071", "")
    assert student == ("student", "2", "0.800 ± 0.141", "0.670 ± 0.071", "+0.020 [+0.020, +0.020]")
    assert seeds.as_json(found)[0]["nll"]["student"] == {"validation": 0.9, "test": 0.62}


def changed(monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]) -> None:
    """Let params.yaml have other seeds, or another section."""
    whole = params.read(ROOT / "params.yaml").model_copy(update=change)
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(params, "read", lambda path: whole)


def test_seeds_go_on_from_those_of_params_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, {"seeds": params.Seeds(data=5, train=7)})
    assert [*seeds.names(2, ["a.b=1"], ["data", "train"], "x").values()] == [
        ["a.b=1", "seeds.data=5", "seeds.train=7"],
        ["a.b=1", "seeds.data=6", "seeds.train=8"],
    ]


def test_another_params_yaml_has_other_names_so_that_an_old_result_is_not_taken_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changed(monkeypatch, {})
    before = seeds.names(2, [], ["train"], "x")
    assert seeds.names(3, [], ["train"], "x").keys() > before.keys(), "one seed more finds those that are there"
    changed(monkeypatch, {"ensemble": params.Ensemble(rule="logits")})
    assert seeds.names(2, [], ["train"], "x").keys().isdisjoint(before)
