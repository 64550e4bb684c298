"""bfloat16 on a CPU: channels last in memory, the same promises as in float32."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pipeline.base.paths import ARTIFACTS
from pipeline.training.device import choose
from tests.training import runs
from tests.training.runs import curves, equal, machine, run, stopped_after, tensors

BFLOAT16 = choose(machine("cpu", 1), "bfloat16")


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("bfloat16")
    with pytest.MonkeyPatch.context() as patch, runs.inside(folder):
        patch.setattr(runs, "CPU", BFLOAT16)
        patch.setitem(runs.SMALL["machine"], "precision", "bfloat16")
        yield runs.furnish(folder)


def test_its_weights_are_written_as_those_of_float32_are(specs: dict[str, Any]) -> None:
    weights = load_file(ARTIFACTS / "teacher" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()} == {torch.float32}


@pytest.mark.parametrize("name", ["teacher", "direct", "method/fitnet_joint"])
def test_it_goes_on_exactly(specs: dict[str, Any], tmp_path: Path, name: str) -> None:
    whole, again = runs.training(specs[name]), runs.training(specs[name])
    stopped_after(again, tmp_path / "again", 3)
    again = runs.training(specs[name])
    run(whole, tmp_path / "whole")
    run(again, tmp_path / "again")
    assert equal(tensors(whole), tensors(again)) and curves(whole) == curves(again)
    assert next(whole.model.parameters()).is_contiguous(memory_format=torch.channels_last)


def test_stored_labels_teach_what_a_live_teacher_would(specs: dict[str, Any], tmp_path: Path) -> None:
    stored, live = runs.training(specs["direct"]), runs.live(specs["direct"])
    run(stored, tmp_path / "stored")
    run(live, tmp_path / "live")
    assert equal(tensors(stored), tensors(live))
