"""An optimiser by import path: what it takes, what it keeps, and who is refused."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.base.errors import UserError
from pipeline.config.recipe import Recipe
from pipeline.training.recipe import optimizer
from tests.training import runs
from tests.training.runs import curves, equal, furnish, inside, planned, tensors, training

RECIPE: dict[str, Any] = {"epochs": 1, "batch_size": 4, "lr": 0.01}
LION = """
import torch
from torch.optim import Optimizer

class Lion(Optimizer):
    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), forgets=False):
        super().__init__(params, {"lr": lr, "betas": betas})
        self.forgets, self.taken = forgets, 0

    @torch.no_grad()
    def step(self, closure=None):
        self.taken += 1
        for group in self.param_groups:
            first, second = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                p.sub_((first * mean + (1 - first) * p.grad).sign(), alpha=group["lr"])
                mean.mul_(second).add_(p.grad, alpha=1 - second)
                if self.forgets:
                    p.mul_(1 - 1e-3 * self.taken)
"""


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("imported")
    (folder / "own_lion.py").write_text(LION)
    with inside(folder), pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield furnish(folder)
    sys.modules.pop("own_lion", None)


def made(name: str, **settings: Any) -> torch.optim.Optimizer:
    return optimizer(Recipe(**RECIPE, optimizer=name, **settings), nn.Linear(3, 2), torch.device("cpu"))


def test_it_has_the_arguments_that_it_takes(specs: dict[str, Any]) -> None:
    found = made("torch.optim.RAdam", betas=[0.8, 0.9], weight_decay=0.1, momentum=0.9)
    assert type(found) is torch.optim.RAdam
    assert found.defaults["betas"] == (0.8, 0.9) and found.defaults["weight_decay"] == 0.1
    assert found.param_groups[0]["lr"] == 0.01
    assert type(made("own_lion.Lion")).__name__ == "Lion"
    split = made("torch.optim.RAdam", weight_decay=0.1, decay_norms=False)
    assert [group["weight_decay"] for group in split.param_groups] == [0.1, 0.0]


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("torch.optim.RAdamm", {}, "cannot be imported"),
    ("no_such.Lion", {}, "cannot be imported .*: name one of adamw, sgd, or a class"),
    ("torch.nn.Linear", {}, "no subclass of torch.optim.Optimizer"),
    ("torch.optim.RAdam", {"beta": 0.9}, "unknown key 'beta', did you mean 'betas'"),
    ("torch.optim.LBFGS", {}, "closure"),
    ("own_lion.Lion", {"forgets": True}, "keeps something outside of its state_dict"),
    ("own_lion.Lion", {"decay_norms": False}, "has no weight_decay, and recipe.decay_norms is false"),
]


@pytest.mark.parametrize(("name", "settings", "sentence"), REFUSED, ids=str)
def test_who_is_refused_is_told_why(specs: dict[str, Any], name: str, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        made(name, **settings)


def test_params_yaml_takes_a_path_and_plain_arguments(tmp_path: Path) -> None:
    asked = {"optimizer": "torch.optim.RAdam", "betas": [0.8, 0.9]}
    spec = planned(tmp_path, {"baseline": {"recipe": asked}})["baseline"]
    assert {**spec.training.recipe, **asked} == spec.training.recipe
    assert not [unit for unit in spec.code["training"] if unit.startswith("optimizer")]
    for wrong in ({**asked, "betas": {"a": 1}}, {"optimizer": "torch.optim."}):
        with pytest.raises(
            UserError, match=r"params\.yaml: baseline\.recipe\.(betas: must be|optimizer: .* no import)"
        ):
            planned(tmp_path, {"baseline": {"recipe": wrong}})


@pytest.mark.parametrize("file", ["lion.py", "lion/__init__.py"])
def test_its_file_counts_with_what_it_imports_of_the_repository(tmp_path: Path, file: str) -> None:
    def found() -> dict[str, str]:
        return planned(tmp_path, {"baseline": {"recipe": {"optimizer": "lion.Lion"}}})["baseline"].code["training"]

    with inside(tmp_path):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("from signs import sign\n\n\nclass Lion: ...\n")
        (tmp_path / "signs.py").write_text("def sign(x):\n    return x > 0\n")
        first = found()
        assert f"own {file}" in first
        (tmp_path / "signs.py").write_text("def sign(x):  # of a gradient\n    return x > 0\n")
        assert found() == first
        (tmp_path / "signs.py").write_text("def sign(x):\n    return x >= 0\n")
        assert {unit for unit in first if found()[unit] != first[unit]} == {f"own {file}"}


@pytest.mark.parametrize("name", ["torch.optim.RAdam", "torch.optim.Adagrad", "torch.optim.NAdam", "own_lion.Lion"])
def test_stopped_anywhere_it_ends_bit_for_bit_the_same(specs: dict[str, Any], tmp_path: Path, name: str) -> None:
    def again():
        recipe = {**specs["direct"].training.recipe, "optimizer": name, "lr": 0.01}
        return training(specs["direct"], recipe=recipe)

    whole = again()
    start = {key: each.clone() for key, each in whole.model.state_dict().items()}
    runs.run(whole, tmp_path / "whole")
    assert not equal(start, whole.model.state_dict())
    for number in range(1, runs.EPOCHS * whole.steps):
        runs.stopped_after(again(), tmp_path / "stopped", 1)
        torch.manual_seed(number)
    last = again()
    runs.run(last, tmp_path / "stopped")
    assert equal(tensors(whole), tensors(last)) and curves(whole) == curves(last)
