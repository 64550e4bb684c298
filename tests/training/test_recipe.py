"""Our optimisers are torch's, to the last bit, without its compiler; the rate of each step is its schedule's."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from pipeline.config.recipe import Recipe
from pipeline.training.recipe import learning_rate, optimizer
from tests import reference

RECIPE: dict[str, Any] = {"epochs": 1, "batch_size": 4, "lr": 0.05, "weight_decay": 0.01}


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))


def stepped(of: nn.Module, by: Optimizer, steps: int) -> list[Tensor]:
    """Its parameters after some steps at a rate that changes."""
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        by.param_groups[0]["lr"] = 0.05 / (1 + step)
        by.zero_grad()
        of(torch.randn(4, 5, generator=generator)).square().sum().backward()
        by.step()
    return [parameter.detach().clone() for parameter in of.parameters()]


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_hundred_steps_are_those_of_torchs_own(name: str) -> None:
    ours, theirs = model(), model()
    same: dict[str, Any] = {"lr": 0.05, "weight_decay": 0.01, "fused": True}
    sgd = {"momentum": 0.9, "nesterov": True}
    plain = AdamW(theirs.parameters(), **same) if name == "adamw" else SGD(theirs.parameters(), **same, **sgd)
    settings: dict[str, Any] = {**RECIPE, "optimizer": name}
    recipe = Recipe(**settings)
    mine = optimizer(recipe, ours, torch.device("cpu"))
    assert all(map(torch.equal, stepped(ours, mine, 100), stepped(theirs, plain, 100)))
    again = optimizer(recipe, ours, torch.device("cpu"))
    again.load_state_dict(mine.state_dict())
    plain.load_state_dict(plain.state_dict())
    assert all(map(torch.equal, stepped(ours, again, 3), stepped(theirs, plain, 3))), "its state is torch's, too"


def test_training_imports_no_compiler() -> None:
    """It takes as long to import as torch itself."""
    code = (
        "import sys, torch\n"
        "from pipeline.evaluation.cost import flops\n"
        "from tests.training.test_recipe import RECIPE, Recipe, model, optimizer, stepped\n"
        "net = model(); net.append(torch.nn.Flatten())\n"
        "for name in ('sgd', 'adamw'):\n"
        "    by = optimizer(Recipe(**RECIPE, optimizer=name), net, torch.device('cpu'))\n"
        "    stepped(net, by, 2); by.load_state_dict(by.state_dict())\n"
        "flops(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3)), 1, 8)\n"
        "print([name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


STEPS = 40
SCHEDULES: list[dict[str, Any]] = [
    {"schedule": "cosine"},
    {"schedule": "step"},
    {"schedule": "step", "milestones": (0.3, 0.6, 0.9), "gamma": 0.5},
    {"schedule": "step", "milestones": (0.1, 0.61)},  # one within warm-up, one between two steps
    {"schedule": "constant"},
]


@pytest.mark.parametrize("steps", [1, 3, STEPS, 41])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.2, 1.0])
@pytest.mark.parametrize("settings", SCHEDULES, ids=str)
def test_the_rate_of_every_step_is_the_slow_twins(settings: dict[str, Any], warmup: float, steps: int) -> None:
    recipe = Recipe(**RECIPE | settings, warmup=warmup)
    rates = [learning_rate(recipe, step, steps) for step in range(steps)]
    assert rates == pytest.approx([reference.learning_rate(recipe, step, steps) for step in range(steps)], rel=1e-9)


def test_warm_up_never_stands_still_and_cosine_takes_all_the_time_there_is() -> None:
    recipe = Recipe(**RECIPE, warmup=0.25)
    rates = [learning_rate(recipe, step, STEPS) for step in range(STEPS)]
    warm = STEPS // 4
    assert rates[0] == pytest.approx(recipe.lr / warm), "a first step at rate 0 would be lost"
    assert rates[warm - 1] == rates[warm] == max(rates) == recipe.lr
    assert rates[: warm - 1] == sorted(rates[: warm - 1]) and rates[warm:] == sorted(rates[warm:], reverse=True)
    assert rates[warm + (STEPS - warm) // 2] == pytest.approx(recipe.lr / 2)
    assert 0 < rates[-1] < 0.01 * recipe.lr


def test_each_milestone_lowers_the_rate_once() -> None:
    settings: dict[str, Any] = {"schedule": "step", "milestones": (0.5, 0.75), "gamma": 0.1}
    recipe = Recipe(**RECIPE | settings)
    factors = [learning_rate(recipe, step, STEPS) / recipe.lr for step in range(STEPS)]
    assert factors == pytest.approx([1.0] * 20 + [0.1] * 10 + [0.01] * 10)
