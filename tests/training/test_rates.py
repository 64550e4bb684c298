"""Rates by depth, decay of matrices alone, the moving average, batches in parts: each against a few lines by hand."""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import world
from pipeline.base.errors import UserError
from pipeline.config.recipe import Recipe
from pipeline.models.build import build
from pipeline.training.averaging import Average
from pipeline.training.frozen import levels
from pipeline.training.loop import Training
from pipeline.training.recipe import learning_rate, optimizer
from tests.training import runs
from tests.training.runs import curves, equal, furnish, inside, tensors, training

PLAIN: dict[str, Any] = {"family": "plain", "widths": [4, 8]}
RECIPE: dict[str, Any] = {"epochs": 2, "batch_size": 8, "lr": 0.1, "weight_decay": 0.01}


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with inside(tmp_path_factory.mktemp("rates")):
        yield furnish(Path.cwd())


def made(specs: dict[str, Any], name: str = "baseline", **recipe: Any) -> Training:
    return training(specs[name], recipe={**specs[name].training.recipe, **recipe})


def net() -> nn.Module:
    torch.manual_seed(0)
    return build(PLAIN, channels=1, size=8, classes=3)


def asked(model: nn.Module, **recipe: Any) -> dict[str, tuple[float, float]]:
    """Of each parameter its share of the rate, and its weight decay."""
    of = optimizer(Recipe(**RECIPE | recipe), model, torch.device("cpu"), levels(model, torch.ones(2, 1, 8, 8)))
    names = {id(each): name for name, each in model.named_parameters()}
    return {
        names[id(each)]: (group.get("scale", 1.0), group["weight_decay"])
        for group in of.param_groups
        for each in group["params"]
    }


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_each_parameter_has_the_rate_of_its_level_and_its_decay(name: str) -> None:
    model = net()
    found = asked(model, optimizer=name, head_lr=0.4, layer_decay=0.5, decay_norms=False)
    assert found.keys() == {key for key, _ in model.named_parameters()}
    for key, parameter in model.named_parameters():
        scale = {"stage1": 0.25, "stage2": 0.5}.get(key.split(".")[0], 4.0)
        assert found[key] == (pytest.approx(scale), 0.01 if parameter.ndim > 1 else 0.0), key
    assert {*asked(net(), layer_decay=0.5).values()} == {(0.25, 0.01), (0.5, 0.01), (1.0, 0.01)}
    assert {*asked(net(), head_lr=0.05).values()} == {(1.0, 0.01), (0.5, 0.01)}
    assert {*asked(net(), decay_norms=False).values()} == {(1.0, 0.01), (1.0, 0.0)}
    assert {*asked(net()).values()} == {(1.0, 0.01)}


def by_hand(of: Training, count: int = 1) -> tuple[nn.Module, list[float]]:
    """The network after the epochs of a training, by plain torch: SGD with Nesterov's momentum; the largest losses.

    Each batch in `count` parts, whose gradients are added up by their share.
    """
    model, recipe = copy.deepcopy(of.model), of.recipe
    its = {id(each): name for name, each in of.model.named_parameters()}
    places = {its[id(p)]: group for group in of.optimizers[0].param_groups for p in group["params"]}
    speed = {name: torch.zeros_like(each) for name, each in model.named_parameters()}
    decay, losses = recipe.settings["weight_decay"], []
    for epoch in range(recipe.epochs):
        of.at.epoch = epoch
        model.train()
        for step, batch in enumerate(of._batches(0), start=epoch * of.steps):
            y_B = of.labels_N[batch.rows.device_B]
            total: list[Tensor] = [torch.zeros_like(each) for each in model.parameters()]
            losses.append(0.0)
            for x, y in zip(batch.x_BCHW.tensor_split(count), y_B.tensor_split(count), strict=True):
                loss = F.cross_entropy(model(x), y) * len(y) / len(y_B)
                losses[-1] += float(loss.detach())
                for own, grad in zip(total, torch.autograd.grad(loss, [*model.parameters()]), strict=True):
                    own += grad
            rate = learning_rate(recipe, step, recipe.epochs * of.steps)
            with torch.no_grad():
                for (name, parameter), grad in zip(model.named_parameters(), total, strict=True):
                    its_decay = places[name].get("weight_decay", decay)
                    slope = grad + its_decay * parameter
                    speed[name].mul_(0.9).add_(slope)
                    parameter -= rate * places[name].get("scale", 1.0) * (slope + 0.9 * speed[name])
    of.at.epoch = 0
    return model, losses


def near(one: nn.Module, other: nn.Module, parts: Sequence[str] = ("weight", "bias")) -> float:
    pairs = zip(one.state_dict().items(), other.state_dict().values(), strict=True)
    return max(float((a - b).abs().max()) for (name, a), b in pairs if name.endswith(tuple(parts)))


KINDS: list[dict[str, Any]] = [
    {"head_lr": 0.02, "layer_decay": 0.5, "decay_norms": False, "weight_decay": 0.1},
    {"accumulate": 3},
    {},
]


@pytest.mark.parametrize("recipe", KINDS, ids=str)
def test_training_is_that_of_plain_torch(specs: dict[str, Any], tmp_path: Path, recipe: dict[str, Any]) -> None:
    of = made(specs, lr=0.05, momentum=0.9, **recipe)
    model, losses = by_hand(of, recipe.get("accumulate", 1))
    plain, _ = by_hand(made(specs, lr=0.05, momentum=0.9))
    assert of.at.epoch == 0
    runs.run(of, tmp_path)
    assert near(of.model, model) < 2e-5
    assert not recipe or near(of.model, plain) > 1e-3, "the keys do something"
    mean = sum(loss * size for loss, size in zip(losses[-of.steps :], of.sizes_S, strict=True)) / sum(of.sizes_S)
    assert of.rows()[-1]["loss"] == pytest.approx(mean, rel=1e-4)


def test_in_parts_the_gradient_is_that_of_the_whole_batch(tmp_path: Path) -> None:
    """Where no layer looks at the batch: BatchNorm in evaluation mode."""
    data = world.images(tmp_path, 22, size=8)

    def gradients(accumulate: int) -> list[Tensor]:
        recipe = {**RECIPE, "accumulate": accumulate}
        of = Training(world.settings(PLAIN, world.HARD, recipe, world.SMALL_VIEWS), data, world.NoTeacher(), runs.CPU)
        of.learners[0].train = lambda: None
        of.model.eval()
        next(of.epoch())
        return [each.grad.clone() for each in of.model.parameters() if each.grad is not None]

    whole = gradients(1)
    assert len(whole) == len([*net().parameters()])
    for count in (2, 3, 7):
        for one, other in zip(whole, gradients(count), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_more_parts_than_images_are_refused(specs: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"recipe\.accumulate is 26, and a batch has 25 images: accumulate that many"):
        made(specs, accumulate=26)
    with pytest.raises(UserError, match="a batch of one image"):
        training(
            specs["baseline"],
            recipe={**specs["baseline"].training.recipe, "accumulate": 25},
            architecture={"family": "plain", "widths": [4, 8, 8, 8]},
        )


@pytest.mark.parametrize("decay", [0.3, 0.9])
def test_the_average_is_timms(decay: float) -> None:
    """ModelEmaV3 with use_warmup: its loop, written out."""
    model = net()
    of = Average(model, decay)
    average = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    for step in range(1, 9):
        with torch.no_grad():
            for tensor in model.state_dict().values():
                tensor.add_(torch.ones_like(tensor) * step)
        of.follow(of.gain(step))
        since = step - 1
        own = max(min(1 - (1 + since / 1.0) ** -(2 / 3), decay), 0.0) if since > 0 else 0.0
        for key, tensor in model.state_dict().items():
            is_fraction = tensor.is_floating_point()
            average[key] = own * average[key] + (1 - own) * tensor if is_fraction else tensor.clone()
        for key, tensor in of.model.state_dict().items():
            torch.testing.assert_close(tensor, average[key], rtol=1e-5, atol=1e-5)
    assert decay != 0.3 or not equal(of.model.state_dict(), model.state_dict())


def test_validation_and_what_is_left_are_the_average(specs: dict[str, Any], tmp_path: Path) -> None:
    of, plain = made(specs, ema=0.9), made(specs)
    seen: list[nn.Module] = []
    of.run(runs.State(tmp_path), lambda model: seen.append(model) or {}, lambda row: None, lambda text: None, 1e9)
    runs.run(plain, tmp_path / "plain")
    learner = of.learners[0]
    assert learner.average is not None
    assert all(model is learner.average.model for model in seen) and learner.result is learner.average.model
    assert near(of.model, plain.model) == 0.0, "the network itself learns as it did"
    assert near(learner.result, of.model) > 1e-3
    kept = made(specs, ema=0.9, keep="best")
    runs.run(kept, tmp_path / "kept")
    assert learner.best is None and kept.learners[0].best is kept.learners[0].result


def test_statistics_of_an_average_are_those_of_its_own_weights(specs: dict[str, Any], tmp_path: Path) -> None:
    of = made(specs, ema=0.9)
    learner = of.learners[0]
    assert learner.estimates_again
    runs.run(of, tmp_path)
    first = {name: tensor.clone() for name, tensor in learner.result.state_dict().items() if "running" in name}
    twin = copy.deepcopy(learner.result).train()
    norms = [each for each in twin.modules() if isinstance(each, nn.BatchNorm2d)]
    for each in norms:
        each.reset_running_stats()
        each.momentum = None
    of.at.epoch = 0
    with torch.no_grad():
        for batch in of._batches(0):
            twin(batch.x_BCHW)
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, twin.state_dict()[name], rtol=1e-4, atol=1e-5)


RESUMED: list[tuple[str, dict[str, Any]]] = [
    ("baseline", {"ema": 0.9, "accumulate": 3, "keep": "best"}),
    ("direct", {"ema": 0.9, "head_lr": 0.4, "layer_decay": 0.5, "decay_norms": False, "optimizer": "adamw"}),
    ("method/fitnet_joint", {"accumulate": 2, "head_lr": 0.01, "ema": 0.5}),
    ("mutual", {"accumulate": 2, "ema": 0.9, "layer_decay": 0.5}),
]


@pytest.mark.parametrize(("name", "recipe"), RESUMED, ids=str)
def test_stopped_anywhere_it_ends_bit_for_bit_the_same(
    specs: dict[str, Any], tmp_path: Path, name: str, recipe: dict[str, Any]
) -> None:
    whole = made(specs, name, **recipe)
    runs.run(whole, tmp_path / "whole")
    for number in range(1, runs.EPOCHS * whole.steps):
        runs.stopped_after(made(specs, name, **recipe), tmp_path / "stopped", 1)
        torch.manual_seed(number)
    last = made(specs, name, **recipe)
    runs.run(last, tmp_path / "stopped")
    assert equal(tensors(whole), tensors(last)) and curves(whole) == curves(last)
    assert equal(whole.learners[-1].result.state_dict(), last.learners[-1].result.state_dict())


@pytest.mark.parametrize("update", ["sequential", "simultaneous"])
def test_peers_in_parts_see_each_other_as_in_one(specs: dict[str, Any], update: str) -> None:
    """Without BatchNorm's batches: all networks in evaluation mode."""

    def after(accumulate: int) -> list[nn.Module]:
        recipe = {**specs["mutual"].training.recipe, "accumulate": accumulate}
        of = training(specs["mutual"], recipe=recipe, update=update)
        for learner in of.learners:
            learner.model.eval()
            learner.train = lambda: None
        for _ in of.epoch():
            pass
        return [each.model for each in of.learners]

    for one, other in zip(after(1), after(3), strict=True):
        assert near(one, other) < 1e-4


def test_a_recorded_step_takes_all_that_changes_from_the_device(
    specs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    learner = made(specs, head_lr=0.4, lr=0.1, ema=0.9).learners[0]
    learner.now_L = torch.zeros(4)
    learner.set(0.1, 0.5, 8)
    assert learner.now_L.tolist() == pytest.approx([0.1, 0.4, 1.0, 0.25])
    assert isinstance(learner.gain, Tensor) and learner.gain.item() == pytest.approx(0.25)
    learner.now_L.copy_(torch.tensor([0.0, 0.0, 1.0, 1.0]))
    start = {key: each.clone() for key, each in learner.model.named_parameters()}
    for parameter in learner.parameters:
        parameter.grad = torch.ones_like(parameter)
    learner.step()
    assert all(torch.equal(each, start[key]) for key, each in learner.model.named_parameters()), "at rates of 0"
    assert [group["lr"] for group in learner.optimizer.param_groups] == pytest.approx([0.1, 0.4]), "numbers are saved"
    assert learner.average and near(learner.average.model, learner.model) < 1e-6


def test_dropout_draws_on_where_it_was_stopped(specs: dict[str, Any], tmp_path: Path) -> None:
    """What an architecture draws for itself is the generator's, which is saved, in parts and under an average, too."""
    wide = {"family": "wide", "depth": 10, "widen": 1, "dropout": 0.3}

    def again() -> Training:
        recipe = {**specs["baseline"].training.recipe, "accumulate": 2, "ema": 0.9, "freeze": "stage1"}
        return training(specs["baseline"], recipe=recipe, architecture=wide)

    whole = again()
    runs.run(whole, tmp_path / "whole")
    for number in range(1, 6):
        runs.stopped_after(again(), tmp_path / "stopped", 1)
        torch.manual_seed(number)
    last = again()
    runs.run(last, tmp_path / "stopped")
    assert equal(tensors(whole), tensors(last)) and curves(whole) == curves(last)
