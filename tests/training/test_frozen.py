"""What is frozen stays as it was to the last bit, costs no gradient, and is none of the optimiser's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.base.errors import UserError
from pipeline.models.build import build
from pipeline.training.frozen import freeze, levels
from pipeline.training.loop import Training
from tests.training import runs
from tests.training.runs import curves, equal, furnish, inside, tensors, training

NETWORKS: list[tuple[dict[str, Any], str]] = [
    ({"family": "plain", "widths": [4, 8]}, "stage1"),
    ({"family": "residual", "depth": 8, "width": 4}, "stage2"),
    ({"family": "wide", "depth": 10, "widen": 1, "dropout": 0.3}, "stage1"),
    ({"family": "separable"}, "stage1"),
    ({"family": "torchvision", "name": "resnet18"}, "layer2"),
    ({"family": "torchvision", "name": "mobilenet_v3_small"}, "features.5"),
]


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with inside(tmp_path_factory.mktemp("frozen")):
        yield furnish(Path.cwd())


def made(specs: dict[str, Any], name: str = "baseline", **recipe: Any) -> Training:
    return training(specs[name], recipe={**specs[name].training.recipe, **recipe})


@pytest.mark.parametrize(("architecture", "layer"), NETWORKS, ids=str)
def test_only_what_the_layer_does_not_follow_from_has_a_gradient(architecture: dict[str, Any], layer: str) -> None:
    model = build(architecture, channels=3, size=32, classes=4)
    x_BCHW = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    frozen = freeze(model, layer, x_BCHW)
    model.train()
    for module in frozen:
        module.eval()
    kept: list[Any] = []
    model.get_submodule(layer).register_forward_hook(lambda module, inputs, output: kept.append(output))
    model(x_BCHW).sum().backward()
    model(x_BCHW)
    assert not kept[0].requires_grad, "no graph below it"
    assert torch.equal(kept[0], kept[1]), "neither dropout nor a batch changes what is frozen"
    learning = [name for name, each in model.named_parameters() if each.requires_grad]
    silent = [name for name, each in model.named_parameters() if not each.requires_grad]
    assert learning and silent
    assert all(model.get_parameter(name).grad is not None for name in learning)
    # By hand: moving a frozen weight moves the layer's output, moving another one does not.
    model.eval()
    for name in (silent[0], silent[-1], learning[0], learning[-1]):
        kept.clear()
        model(x_BCHW)
        with torch.no_grad():
            model.get_parameter(name).add_(0.5)
        model(x_BCHW)
        assert torch.equal(kept[0], kept[1]) is (name in learning), name


def test_a_module_that_comes_again_above_is_not_switched_off() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)
            self.own = nn.Dropout(0.5)
            self.first = nn.Linear(3, 3)
            self.second = nn.Linear(3, 3)

        def forward(self, x_BD: torch.Tensor) -> torch.Tensor:
            return self.second(self.drop(self.first(self.own(self.drop(x_BD)))))

    model = Twice()
    frozen = freeze(model, "first", torch.ones(2, 3))
    assert [each in frozen for each in (model.own, model.first, model.drop, model.second)] == [True, True, False, False]


def test_what_cannot_be_frozen_is_named() -> None:
    model = build({"family": "plain", "widths": [4, 8]}, channels=1, size=8, classes=3)
    x_BCHW = torch.ones(2, 1, 8, 8)
    with pytest.raises(UserError, match="unknown layer 'stage9', did you mean 'stage"):
        freeze(model, "stage9", x_BCHW)
    with pytest.raises(UserError, match="leaves no weight to learn: name an earlier layer"):
        freeze(model, [name for name, _ in model.named_children()][-1], x_BCHW)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("layer", ["stage1", "embedding"])
def test_weights_and_statistics_below_stay_and_all_others_learn(
    specs: dict[str, Any], tmp_path: Path, layer: str, optimizer: str
) -> None:
    of = made(specs, freeze=layer, optimizer=optimizer)
    start = {key: tensor.clone() for key, tensor in of.model.state_dict().items()}
    held = sum(each.numel() for group in of.optimizers[0].param_groups for each in group["params"])
    runs.run(of, tmp_path)
    moved = {key for key, tensor in of.model.state_dict().items() if not torch.equal(tensor, start[key])}
    below = [key for key in start if key.startswith("stage1") or (layer == "embedding" and key.startswith("stage"))]
    assert moved == {*start} - {*below} and moved
    assert held == sum(each.numel() for key, each in of.model.named_parameters() if key in moved)
    assert any(key.endswith("running_mean") for key in below)


def test_a_term_on_frozen_layers_alone_is_refused(specs: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"objective\.fitnet_hint compares stage1, which recipe\.freeze: stage1 keeps"):
        made(specs, "method/fitnet_joint", freeze="stage1")


@pytest.mark.parametrize("name", ["baseline", "direct", "mutual"])
def test_stopped_anywhere_it_ends_bit_for_bit_the_same(specs: dict[str, Any], tmp_path: Path, name: str) -> None:
    asked = {"freeze": "stage1"}
    whole = made(specs, name, **asked)
    runs.run(whole, tmp_path / "whole")
    for number in range(1, runs.EPOCHS * whole.steps):
        runs.stopped_after(made(specs, name, **asked), tmp_path / "stopped", 1)
        torch.manual_seed(number)
    last = made(specs, name, **asked)
    runs.run(last, tmp_path / "stopped")
    assert equal(tensors(whole), tensors(last)) and curves(whole) == curves(last)


@pytest.mark.parametrize(("architecture", "layer"), NETWORKS, ids=str)
def test_levels_go_from_the_images_to_the_head(architecture: dict[str, Any], layer: str) -> None:
    model = build(architecture, channels=3, size=32, classes=4)
    found = levels(model, torch.ones(2, 3, 32, 32))
    names = {id(each): name for name, each in model.named_parameters()}
    assert sorted(names[id(each)] for level in found for each in level) == sorted(names.values()), "each once"
    assert all(model.get_parameter(names[id(each)]).shape[0] == 4 for each in found[-1]), "the head is the last one"
    assert len(found[-1]) == 2 and len(found) >= 3
    firsts = [[*names].index(id(level[0])) for level in found]
    assert firsts == sorted(firsts)
