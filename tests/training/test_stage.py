"""What a slot of a chain does when its turn comes, without training: whether it carries, and what."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.base.paths import PLAN
from pipeline.data import prepared
from pipeline.lineage import node
from pipeline.lineage.node import Node
from pipeline.lineage.refined import pick
from pipeline.planning.specs.readers import RefinedSpec
from pipeline.planning.specs.spec import write_specs
from pipeline.planning.specs.training import StopRule
from pipeline.training import stage
from tests.planning.test_build import build

SPECS: Any = build()


class Trains(Exception):
    """The slot would train."""


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def perform(*_: Any) -> None:
        raise Trains

    monkeypatch.setattr(stage, "perform", perform)


def generations(*accuracies: float, select: Any = None) -> None:
    """A chain of trained generations, the start first; `select` is what their figures are of."""
    names = ["baseline", *(f"refinery/g{number}" for number in range(1, len(accuracies)))]
    chain = tuple(zip(names, accuracies, strict=True))
    for number, name in enumerate(names, start=1):
        with node.writing(name) as folder:
            node.write(folder, Node(name, "trained", chain=chain[:number], select=select))


def asked(number: int) -> str:
    """Write the spec of a generation that was asked for; return its name."""
    name, previous = f"refinery/g{number}", f"refinery/g{number - 1}"
    spec = replace(SPECS["refinery/g2"], node=name, previous=previous, stop=StopRule(patience=1, min_gain=0.0))
    write_specs({name: spec}, PLAN)
    return name


def test_a_chain_that_rises_trains_on() -> None:
    generations(0.5, 0.6)
    with pytest.raises(Trains):
        stage.advance(asked(2))


@pytest.mark.parametrize("accuracies", [(0.6, 0.5), (0.6, 0.6), (0.5, 0.7, 0.6)])
def test_a_chain_that_does_not_rise_carries_its_last_generation(accuracies: tuple[float, ...]) -> None:
    generations(*accuracies)
    stage.advance(asked(len(accuracies)))
    assert node.read(f"refinery/g{len(accuracies)}").origin == f"refinery/g{len(accuracies) - 1}"


@pytest.mark.parametrize(("figures", "rises"), [((0.6, 0.5), True), ((0.5, 0.6), False), ((0.5, 0.5), False)])
def test_of_a_metric_that_falls_a_chain_goes_on_while_it_falls(
    capsys: pytest.CaptureFixture[str], figures: tuple[float, float], rises: bool
) -> None:
    generations(*figures, select="nll")
    if rises:
        with pytest.raises(Trains):
            stage.advance(asked(2))
        return
    stage.advance(asked(2))
    assert node.read("refinery/g2").origin == "refinery/g1"
    assert "validation NLL has stopped falling, carries refinery/g1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("select", "best", "said"),
    [
        (None, "refinery/g2", "baseline 50.0, refinery/g1 30.0, refinery/g2 70.0; best: refinery/g2"),
        ("macro_f1", "refinery/g2", "refinery/g2 macro F1 70.0; best: refinery/g2"),
        ("nll", "refinery/g1", "refinery/g1 NLL 0.300, refinery/g2 NLL 0.700; best: refinery/g1"),
    ],
)
def test_the_best_generation_is_picked_by_what_the_chain_is_of(
    capsys: pytest.CaptureFixture[str], select: Any, best: str, said: str
) -> None:
    generations(0.5, 0.3, 0.7, select=select)
    pick(RefinedSpec(node="refined", chain="refinery/g2", code={}))
    assert node.read("refined").origin == best
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(("distinct", "trains"), [(9, True), (10, False), (11, False)])
def test_hard_labels_without_a_limit_are_an_arm_only_where_the_views_are_limited(
    monkeypatch: pytest.MonkeyPatch, distinct: int, trains: bool
) -> None:
    """A table has them where the other arms see a view again; elsewhere they are the baseline, and cost nothing."""
    header = SimpleNamespace(counts={"train": 300}, classes=("a", "b"))
    monkeypatch.setattr(prepared, "read_header", lambda folder: header)
    with node.writing("baseline") as folder:
        node.write(folder, Node("baseline", "trained", trained_on=("labels",)))
    spec = SPECS["method/unlimited"]
    training = replace(spec.training, recipe={**spec.training.recipe, "epochs": 10})
    spec = replace(spec, training=training, labels=replace(spec.labels, distinct=distinct))
    write_specs({"method/unlimited": spec}, PLAN)
    if trains:
        with pytest.raises(Trains):
            stage.advance("method/unlimited")
    else:
        stage.advance("method/unlimited")
        assert node.read("method/unlimited").origin == "baseline"


def test_a_chain_that_has_stopped_does_not_begin_again() -> None:
    """The accuracies alone would let it go on, as those of another stop rule may."""
    generations(0.5, 0.6)
    node.carry("refinery/g2", node.read("refinery/g1"))
    stage.advance(asked(3))
    assert node.read("refinery/g3").origin == "refinery/g1"
