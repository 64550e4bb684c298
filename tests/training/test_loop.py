"""The training loop: exact under interruption, and the same from stored labels as under a live teacher."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.data import prepared
from pipeline.dvc.training_state import VARIABLE
from pipeline.lineage import node
from pipeline.planning.specs.spec import read_spec
from pipeline.planning.specs.training import TrainSpec
from pipeline.training.device import Device
from pipeline.training.learn import learn
from pipeline.training.loop import Training
from pipeline.training.state import State
from pipeline.training.teacher import NoTeacher
from tests.scratch import Scratch
from tests.training.runs import changed

DEVICE = Device(torch.device("cpu"), torch.float32)
STEPS = 4


class Interrupted(Exception):
    """Stands for the end of the process."""


class Interrupting(State):
    """Ends the process just after the n-th save."""

    def __init__(self, folder: Path, saves: int) -> None:
        super().__init__(folder)
        self.left = saves

    def save(self, *parts: bytes | memoryview) -> None:
        super().save(*parts)
        self.left -= 1
        if not self.left:
            raise Interrupted


@pytest.fixture
def workspace(copied: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    """The finished lineage as the current folder, without its training state."""
    monkeypatch.chdir(copied.folder)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "state"))
    return copied


def spec(name: str) -> TrainSpec:
    return read_spec(name, TrainSpec)


def baseline(recipe: dict[str, Any]) -> Training:
    """The baseline of the scratch repository with another recipe."""
    training = spec("baseline").training
    recipe = {**training.recipe, "epochs": 2, **recipe}
    return Training(replace(training, recipe=recipe), prepared.read(DATA), NoTeacher(), DEVICE)


def run(training: Training, state: State, logged: list[str] | None = None) -> dict[str, np.ndarray]:
    """Train to the end; copies of all weights and buffers."""
    log = pytest.fail if logged is None else logged.append
    training.run(state, lambda model: {"accuracy": 0.5}, lambda row: None, log, 0.0)
    return {name: tensor.numpy().copy() for name, tensor in training.model.state_dict().items()}


def folder(tmp_path: Path, name: str) -> Path:
    path = tmp_path / "states" / name
    path.mkdir(parents=True)
    return path


@pytest.mark.parametrize("recipe", [{"optimizer": "sgd"}, {"optimizer": "adamw", "lr": 0.01}], ids=str)
def test_interrupted_after_any_step_it_goes_on_exactly(
    workspace: Scratch, tmp_path: Path, recipe: dict[str, Any]
) -> None:
    whole = baseline(recipe)
    expected = run(whole, State(folder(tmp_path, "whole")))
    assert whole.steps == STEPS
    for saves in range(1, 2 * STEPS + 1):
        state = Interrupting(folder(tmp_path, str(saves)), saves)
        with pytest.raises(Interrupted):
            run(baseline(recipe), state)
        training, logged = baseline(recipe), []
        found = run(training, State(state.folder), logged)
        epoch, step = divmod(saves, STEPS) if saves % STEPS else (saves // STEPS - 1, STEPS)
        assert logged == [f"going on at epoch {epoch + 1}, step {step + 1}"]
        assert all(found[name].tobytes() == expected[name].tobytes() for name in expected)
        for row, other in zip(training.rows(), whole.rows(), strict=True):
            assert {**row, "images_per_second": 0} == {**other, "images_per_second": 0}
            assert list(row) == list(other), "the columns of the curve"


def test_another_rate_gives_other_weights(workspace: Scratch, tmp_path: Path) -> None:
    """The comparison above can fail."""
    one = run(baseline({}), State(folder(tmp_path, "one")))
    other = run(baseline({"lr": 0.201}), State(folder(tmp_path, "other")))
    assert any(one[name].tobytes() != other[name].tobytes() for name in one)


def test_finished_training_is_used_again(workspace: Scratch, tmp_path: Path) -> None:
    where = folder(tmp_path, "finished")
    expected = run(baseline({}), State(where))
    logged: list[str] = []
    found = run(baseline({}), State(where), logged)
    assert [line.split(":")[0] for line in logged] == ["training was finished before"]
    assert all(found[name].tobytes() == expected[name].tobytes() for name in expected)


def test_a_loss_that_is_not_finite_is_named_and_not_saved(workspace: Scratch, tmp_path: Path) -> None:
    where = folder(tmp_path, "state")
    with pytest.raises(UserError, match=r"not finite at epoch \d, step \d \(cross_entropy\)"):
        run(baseline({"lr": 1e30, "warmup": 0.0}), State(where))
    assert State(where).load(pytest.fail) is None or b"NaN" not in (where / "state").read_bytes()


def trained(change: dict[str, Any], epochs: int) -> bytes:
    """Weights of `direct`, the student of the teacher, after training with another recipe or teaching."""
    plan = spec("direct")
    learn(changed(plan, recipe={**plan.training.recipe, "epochs": epochs}, **change))
    return node.read("direct").weights.read_bytes()


def test_stored_labels_teach_what_a_live_teacher_would(workspace: Scratch) -> None:
    live = {"teaching": "live", "teacher_batch": 32}
    assert trained({}, 3) == trained(live, 3), "as many views as epochs"
    assert trained({}, 4) == trained(live, 4), "more epochs than views: both see the first views again"
