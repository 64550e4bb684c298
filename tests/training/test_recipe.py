"""Our optimisers are torch's, to the last bit, and a training stage never imports torch.compile."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from pipeline.sections.recipe import Recipe
from pipeline.training.recipe import optimizer

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
