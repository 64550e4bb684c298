"""Methods between params.yaml and dvc.yaml: what has no slot, what is read without being a dependency."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.base.errors import UserError
from pipeline.config import params
from pipeline.config.yaml import read_yaml
from pipeline.lineage import node
from pipeline.planning import build
from pipeline.planning.specs.slots import SkipSpec
from pipeline.planning.specs.spec import write_specs
from pipeline.planning.specs.training import TrainingSpec
from pipeline.training.stage import advance
from tests.training.runs import METHODS, STAGES, inside, planned

STUDENT_OF = {"baseline", "direct", "student", "method/unlimited", *(f"method/{name}" for name in METHODS)}


def test_a_method_without_a_slot_is_told_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        planned(tmp_path, {"method": {"soft_target": {}}})
    assert "params.yaml: method: unknown method 'soft_target', did you mean 'soft_targets'?" in str(raised.value)
    assert "`soft_target: {reads: teacher}` in stages.method.foreach of dvc.yaml" in str(raised.value)


@pytest.mark.parametrize("initial", ["hint", "dist"])
def test_initial_weights_that_dvc_yaml_does_not_read(tmp_path: Path, initial: str) -> None:
    with pytest.raises(UserError) as raised:
        planned(tmp_path, {"method": {"dkd": {"initial": initial}}})
    assert f"method.dkd.initial is '{initial}'" in str(raised.value)
    assert f"stages.method.foreach.dkd.reads must be method/{initial}" in str(raised.value)


def test_initial_weights_of_a_method_that_is_not_trained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"method\.fitnet\.initial is 'hint', which is not in params\.yaml"):
        without(tmp_path, "hint")


def without(folder: Path, name: str) -> dict[str, Any]:
    """The specs of a params.yaml that does not name that method."""
    planned(folder)
    path = folder / "params.yaml"
    raw = read_yaml(path)
    del raw["method"][name]
    path.write_text(yaml.safe_dump(raw))
    return build.build(params.read(path), STAGES)


def test_a_slot_that_params_yaml_does_not_name_is_skipped(tmp_path: Path) -> None:
    whole, fewer = planned(tmp_path), without(tmp_path, "pkt")
    assert isinstance(fewer["method/pkt"], SkipSpec)
    changed = [name for name in whole if whole[name] != fewer[name]]
    assert changed == ["method/pkt"]
    with inside(tmp_path):
        write_specs(fewer, Path("plan"))
        advance("method/pkt")
        assert node.read("method/pkt").status == "skipped"
        assert node.read("method/pkt").provides == ()


def test_a_changed_objective_concerns_its_own_spec_only(tmp_path: Path) -> None:
    whole = planned(tmp_path)
    other = planned(tmp_path, {"method": {"dkd": {"objective": {"dkd": {"beta": 8.0}}}}})
    assert [name for name in whole if whole[name] != other[name]] == ["method/dkd"]


def test_all_of_the_students_kind_are_paired(tmp_path: Path) -> None:
    specs = planned(tmp_path)
    seeds = {name: spec.training.seed for name, spec in specs.items() if isinstance(spec, TrainingSpec)}
    shared = {name for name, seed in seeds.items() if seed == seeds["baseline"]}
    assert shared == STUDENT_OF
    assert seeds["method/dkd"] != planned(tmp_path, {"method": {"dkd": {"seed": 3}}})["method/dkd"].training.seed


def test_the_graph_reads_what_the_plan_reads(tmp_path: Path) -> None:
    """The repository's own two files: every method has its slot, and every second stage its edge."""
    specs = planned(tmp_path)
    slots = STAGES["method"]["foreach"]
    assert {*METHODS} <= {*slots}
    for name in METHODS:
        initial = specs[f"method/{name}"].initial
        assert slots[name]["reads"] == (initial or "teacher")
    stages = copy.deepcopy(STAGES)
    stages["method"]["foreach"]["fitnet"]["reads"] = "teacher"
    with pytest.raises(UserError, match=r"stages\.method\.foreach\.fitnet\.reads must be method/hint"):
        build.build(params.read(tmp_path / "params.yaml"), stages)
