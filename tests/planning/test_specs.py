"""Specs as files: what plan writes is what a stage reads, and what another wrote is refused in one sentence."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import CODE, PLAN
from pipeline.planning.specs.compress import ComputeStepSpec, TrainStepSpec
from pipeline.planning.specs.foreign import AnswersSpec, OnnxSpec
from pipeline.planning.specs.machine import MachineSpec, read_machine
from pipeline.planning.specs.prepare import PrepareSpec
from pipeline.planning.specs.readers import EnsembleSpec, RefinedSpec, ReportSpec, SummarySpec
from pipeline.planning.specs.slots import CarrySpec, SkipSpec
from pipeline.planning.specs.spec import read_spec, read_spec_if, write_specs
from pipeline.planning.specs.training import TrainSpec, WeightsFile
from tests.planning.test_build import build
from tests.planning.test_foreign import ANSWERS, ONNX, WITHOUT_NETWORK

SPECS: dict[str, Any] = build({"compress": {"order": ["distil", "tune", "qat", "quantise", "export"]}})
SPECS["teacher"] = replace(SPECS["teacher"], weights=WeightsFile(file="a", sha256="0" * 64))
KINDS = (
    *(PrepareSpec, TrainSpec, CarrySpec, SkipSpec, TrainStepSpec, ComputeStepSpec),
    *(RefinedSpec, EnsembleSpec, SummarySpec, ReportSpec, MachineSpec),
)
FOREIGN = (AnswersSpec, OnnxSpec)


@pytest.fixture(autouse=True)
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_specs(SPECS, PLAN)


def rewritten(name: str, **change: Any) -> Path:
    """The spec as another version of this project may have written it: whole, and with another content."""
    path = PLAN / f"{name}.json"
    value = {**files.read_sealed(path), **change}
    files.write_sealed(path, {key: item for key, item in value.items() if item is not ...})
    return path


@pytest.mark.parametrize("name", sorted({name for name in SPECS if name.split("/")[0] != "method"} | {"method/dkd"}))
def test_what_is_read_is_what_was_written(name: str) -> None:
    assert read_spec(name, type(SPECS[name])) == SPECS[name]
    assert read_spec(name, *KINDS) == SPECS[name], "no other kind takes it for its own"


@pytest.mark.parametrize("teacher", [ANSWERS, ONNX])
def test_a_teacher_that_is_no_network_is_read_as_it_was_written(teacher: dict[str, Any]) -> None:
    spec: Any = build({**WITHOUT_NETWORK, "teacher": teacher})["teacher"]
    write_specs({"teacher": spec}, PLAN)
    assert read_spec("teacher", *FOREIGN) == read_spec_if("teacher", *FOREIGN) == spec
    assert read_spec_if("teacher", CarrySpec) is None
    with pytest.raises(UserError, match=r"is not a spec that this version reads"):
        read_spec("teacher", *KINDS)


def test_all_kinds_were_among_them() -> None:
    skipped = SkipSpec(node="method/pkt", code={})
    assert {type(spec) for spec in (*SPECS.values(), skipped)} == {*KINDS}


def test_what_is_optional_is_left_out_and_what_is_null_is_told() -> None:
    teacher, student = (files.read_sealed(PLAN / f"{name}.json") for name in ("teacher", "student"))
    assert "weights" in teacher and "weights" not in student
    assert teacher["teacher"] is None and teacher["training"]["teacher_batch"] is None
    tune, qat = (files.read_sealed(PLAN / f"compress/c{number}.json")["training"] for number in (2, 3))
    assert tune["bits"] is None and qat["bits"] == {"weight_bits": 8, "activation_bits": 8}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"answers": True}, "unknown key answers"),
        ({"labels": ...}, "labels is missing"),
        ({"has_logits": 1}, "has_logits is 1"),
        ({"node": "baseline"}, "node is 'baseline', not 'student'"),
        ({"action": "carry"}, "action is 'carry'"),
        (
            {"labels": {"views": "many", "distinct": None, "max_bytes": 1, "kind": "auto", "k": None, "batch_size": 1}},
            "labels.views is 'many'",
        ),
        (
            {"labels": {"views": True, "distinct": None, "max_bytes": 1, "kind": "auto", "k": None, "batch_size": 1}},
            "labels.views is True",
        ),
        (
            {"labels": {"views": 1, "distinct": None, "max_bytes": 1, "kind": "sparse", "k": None, "batch_size": 1}},
            "labels.kind is 'sparse'",
        ),
        (
            {"labels": {"views": 1, "distinct": None, "max_bytes": 1, "kind": "auto", "batch_size": 1}},
            "labels.k is missing",
        ),
        ({"labels": []}, "labels is [], not a mapping"),
        ({"stop": {"patience": 1, "min_gain": True}}, "stop.min_gain is True"),
        ({"training": 3}, "training is 3, not a mapping"),
    ],
    ids=str,
)
def test_a_spec_of_another_version_is_one_sentence(change: dict[str, Any], fault: str) -> None:
    path = rewritten("student", **change)
    with pytest.raises(UserError) as told:
        read_spec("student", TrainSpec)
    assert str(told.value) == (
        f"{path} is not a spec that this version reads ({fault}): run `dvc repro plan` to make it anew"
    )


def test_a_stage_that_does_something_else_is_none_of_these() -> None:
    assert read_spec_if("refinery/g8", CarrySpec, SkipSpec) == SPECS["refinery/g8"]
    assert read_spec_if("student", CarrySpec, SkipSpec) is None
    rewritten("refinery/g8", previous=3)
    with pytest.raises(UserError, match="previous is 3"):
        read_spec_if("refinery/g8", CarrySpec, SkipSpec)


def test_a_whole_number_is_a_number() -> None:
    rewritten("machine", state_every=5)
    assert read_machine().state_every == 5


def test_a_slot_that_carries_reads_its_spec_without_pydantic() -> None:
    """It would take twice as long."""
    program = (
        "import sys; from pipeline.training.stage import advance; from pipeline.planning.specs import training; "
        "print(sorted({'pydantic', 'torch', 'scipy', 'dvc'} & {*sys.modules}))"
    )
    found = subprocess.run([sys.executable, "-c", program], cwd=CODE, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
