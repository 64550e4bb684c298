"""float16 with loss scaling: torch's GradScaler step for step, skipped steps, and what is saved."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from pipeline.base.errors import UserError
from pipeline.config.recipe import Recipe
from pipeline.training.device import Device, choose
from pipeline.training.loop import Training
from pipeline.training.recipe import optimizer
from pipeline.training.scaling import LossScale
from tests.training import runs
from tests.training.runs import curves, equal, furnish, inside, tensors, training

CPU = torch.device("cpu")
HALF = Device(CPU, torch.float16)


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with inside(tmp_path_factory.mktemp("scaling")):
        yield furnish(Path.cwd())


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_its_steps_are_those_of_torchs_scaler(name: str) -> None:
    torch.manual_seed(0)
    ours = nn.Linear(4, 3)
    theirs = copy.deepcopy(ours)
    recipe = Recipe(epochs=1, batch_size=2, lr=0.1, optimizer=name)  # pyright: ignore[reportCallIssue]
    mine, other = optimizer(recipe, ours, CPU), optimizer(recipe, theirs, CPU)
    scale, scaler = LossScale(CPU, mine), GradScaler("cpu")
    skipped = 0
    for step in range(12):
        x_BD = torch.randn(5, 4) * (1e30 if step in (2, 3, 7) else 1.0)
        for model, by in ((ours, mine), (theirs, other)):
            by.zero_grad()
            loss = model(x_BD).square().mean()
            before = copy.deepcopy(ours.state_dict())
            if model is ours:
                torch.autograd.backward(scale.scaled([loss]))
                scale.unscale([each.grad for each in ours.parameters() if each.grad is not None])
                steepest = max(float(each.grad.abs().max()) for each in ours.parameters() if each.grad is not None)
                assert float(scale.finite(torch.tensor(steepest))) == (0.0 if scale.found else steepest)
                scale.step()
                skipped += equal(before, ours.state_dict())
            else:
                scaler.scale(loss).backward()
                scaler.step(by)
                scaler.update()
        assert float(scale.scale) == scaler.get_scale()
        assert equal(ours.state_dict(), theirs.state_dict()), step
    assert skipped == 3 and float(scale.scale) == 2.0**13


def half(specs: dict[str, Any], patch: pytest.MonkeyPatch, name: str = "baseline", **recipe: Any) -> Training:
    patch.setattr(runs, "CPU", HALF)
    return training(specs[name], recipe={**specs[name].training.recipe, "lr": 0.05, **recipe})


@pytest.mark.parametrize("name", ["baseline", "mutual"])
def test_it_learns_as_in_float32_and_goes_on_exactly(
    specs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked: dict[str, Any] = {"clip": 2.0, "accumulate": 2, "ema": 0.9}
    plain = training(specs[name], recipe={**specs[name].training.recipe, "lr": 0.05, **asked})
    runs.run(plain, tmp_path / "plain")
    whole = half(specs, monkeypatch, name, **asked)
    runs.run(whole, tmp_path / "whole")
    assert whole.rows()[-1]["loss"] == pytest.approx(plain.rows()[-1]["loss"], rel=0.05)
    assert not equal(whole.model.state_dict(), plain.model.state_dict())
    for number in range(1, runs.EPOCHS * whole.steps):
        runs.stopped_after(half(specs, monkeypatch, name, **asked), tmp_path / "stopped", 1)
        torch.manual_seed(number)
    last = half(specs, monkeypatch, name, **asked)
    runs.run(last, tmp_path / "stopped")
    assert equal(tensors(whole), tensors(last)) and curves(whole) == curves(last)
    assert any(key.endswith("scale.scale") for key in tensors(last))


def test_an_overflow_leaves_a_step_out_and_is_saved(
    specs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started() -> Training:
        of = half(specs, monkeypatch)
        scale = of.learners[0].scale
        assert scale is not None
        scale.scale.fill_(2.0**40)  # far above what float16 holds
        return of

    whole = started()
    runs.run(whole, tmp_path / "whole")
    scale = whole.learners[0].scale
    assert scale is not None and 1.0 < float(scale.scale) < 2.0**40, "it has found its size"
    assert all(torch.isfinite(each).all() for each in tensors(whole).values())
    runs.stopped_after(started(), tmp_path / "stopped", 3)
    last = half(specs, monkeypatch)
    runs.run(last, tmp_path / "stopped")
    assert equal(tensors(whole), tensors(last))


def test_who_would_wait_is_refused(specs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="float16, which needs a fused optimiser, and RAdam is none"):
        half(specs, monkeypatch, optimizer="torch.optim.RAdam")


def test_it_is_a_precision_that_is_asked_for_by_name() -> None:
    assert choose(runs.machine(), "float16").dtype == torch.float16
    assert choose(runs.machine(), "auto").dtype == torch.float32
    assert choose(runs.machine(), "bfloat16").dtype == torch.bfloat16
