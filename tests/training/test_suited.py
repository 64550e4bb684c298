"""Terms that have nothing to teach with so many classes: refused, or what is left of them is said."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.base.errors import UserError
from pipeline.base.paths import DATA, PLAN
from pipeline.config import params
from pipeline.config.extension import OBJECTIVES
from pipeline.config.term import complete_term
from pipeline.data.prepare import prepare
from pipeline.lineage import node
from pipeline.planning.specs.spec import write_specs
from pipeline.planning.specs.training import TrainSpec
from pipeline.training.learn import learn
from pipeline.training.suited import check_classes
from tests.training.runs import changed, inside, planned
from tests.training.test_numerics import pictures

Terms = dict[str, dict[str, Any]]
LEFT = ("dist", "dkd", "dkpp")


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> TrainSpec:
    return planned(tmp_path_factory.mktemp("plan"))["direct"]


def with_terms(spec: TrainSpec, terms: Terms) -> TrainSpec:
    return changed(spec, objective={name: complete_term(name, settings, name) for name, settings in terms.items()})


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_what_has_no_gradient_is_refused_and_what_has_less_says_so(
    spec: TrainSpec, name: str, classes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    of = with_terms(spec, {"cross_entropy": {}, name: {}})
    if name == "logit_standardisation" and classes == 2:
        with pytest.raises(
            UserError, match=r"^direct: objective\.logit_standardisation has no gradient with 2 classes"
        ):
            check_classes(of, classes)
        return
    check_classes(of, classes)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == (classes == 2 and name in LEFT)
    assert all(re.match(rf"direct: objective\.{name} with two classes: .*what is left is", line) for line in printed)


@pytest.mark.parametrize(
    ("terms", "classes"),
    [
        ({"dist": {"gamma": 0.0}}, 2),
        ({"dkd": {"alpha": 0.0}}, 2),
        ({"dkd": {"alpha": 0.0, "beta": 0.0}}, 10),
        ({"dist": {"beta": 0.0, "gamma": 0.0}}, 10),
    ],
)
def test_what_its_settings_leave_without_a_gradient_is_refused_too(spec: TrainSpec, terms: Terms, classes: int) -> None:
    with pytest.raises(UserError, match=rf"has no gradient with {classes} classes and these settings"):
        check_classes(with_terms(spec, terms), classes)


def test_it_draws_nothing_from_the_generator(spec: TrainSpec) -> None:
    before = torch.get_rng_state()
    check_classes(with_terms(spec, {"dkpp": {}}), 10)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_stage_refuses_before_it_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures(tmp_path / "images", {"a": 9, "b": 9}, 8, lambda label, number: 90 * label + number)
    with inside(tmp_path):
        data = {"source": "imagefolder", "root": "images", "per_class": None, "grayscale": True}
        specs = planned(tmp_path, {"data": data})
        write_specs(specs, PLAN)
        DATA.parent.mkdir(parents=True)
        prepare(params.read(tmp_path / "params.yaml").data, tmp_path / "images", 0, DATA)
        learn(specs["teacher"])
        capsys.readouterr()
        with pytest.raises(UserError, match=r"^method/logit_standardisation: objective\.logit_standardisation has no"):
            learn(specs["method/logit_standardisation"])
        assert capsys.readouterr().out == ""
        learn(specs["method/dkd"])
        assert "method/dkd: objective.dkd with two classes: NCKD, of beta, is 0" in capsys.readouterr().out
        assert node.read("method/dkd").status == "trained"
