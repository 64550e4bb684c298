"""Which epoch's weights are kept, when training stops by itself, and that both go on exactly after a stop."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.base import files
from pipeline.base.paths import METRICS
from pipeline.config.recipe import Recipe
from pipeline.config.select import ACCURACY, metric_of
from pipeline.lineage import node
from pipeline.models.build import rebuild
from pipeline.models.files import load_weights
from pipeline.training import kept, learn
from pipeline.training.loop import Training
from pipeline.training.state import State
from tests.training import runs
from tests.training.runs import changed, curves, equal, furnish, inside, tensors, training

# What validation says of each epoch: the second is the best one, the fourth only as good.
FOUND = [0.2, 0.6, 0.4, 0.6, 0.5, 0.1]
RECIPE: dict[str, Any] = {"epochs": 6, "batch_size": 4, "lr": 0.1}


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with inside(tmp_path_factory.mktemp("kept")):
        yield furnish(Path.cwd())


def scripted(of: Training, found: list[float] = FOUND) -> Callable[[nn.Module], dict[str, float]]:
    """A validation that says what it is told of each epoch; the networks of an epoch take turns."""
    said: dict[int, int] = {}

    def validate(model: nn.Module) -> dict[str, float]:
        model.eval()
        said[of.at.epoch] = said.get(of.at.epoch, -1) + 1
        figure = found[(of.at.epoch + said[of.at.epoch]) % len(found)]
        return {"accuracy": 0.5, of.metric.name: figure}

    return validate


def run(of: Training, folder: Path) -> list[str]:
    """As `runs.run`, with the scripted validation."""
    folder.mkdir(parents=True, exist_ok=True)
    logged: list[str] = []
    of.run(State(folder), scripted(of), lambda row: None, logged.append, every=1e9)
    return logged


def made(specs: dict[str, Any], name: str = "baseline", **recipe: Any) -> Training:
    return training(specs[name], recipe={**specs[name].training.recipe, "epochs": 6, **recipe})


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {key: tensor.clone() for key, tensor in model.state_dict().items()}


def test_the_best_epoch_is_the_first_of_equals() -> None:
    assert kept.best(FOUND, ACCURACY) == 2 and kept.best([None, None, None], ACCURACY) == 3
    assert [kept.is_best(FOUND[:n], ACCURACY) for n in range(1, 7)] == [True, True, False, False, False, False]
    assert kept.is_best([None], ACCURACY) and kept.is_best([0.5, None], ACCURACY)


def test_of_a_metric_that_falls_the_best_epoch_is_that_of_the_least() -> None:
    falling, nll = [0.9, 0.4, 0.6, 0.4, 0.5, 0.3], metric_of("nll")
    assert [kept.best(falling[:n], nll) for n in range(1, 7)] == [1, 2, 2, 2, 2, 6]
    assert [kept.is_best(falling[:n], nll) for n in range(1, 7)] == [True, True, False, False, False, True]
    recipe = Recipe(**RECIPE, patience=3)
    assert [kept.is_over(recipe, n, [falling[:n]], nll) for n in range(6)] == [False] * 5 + [True]
    assert kept.best([None, 0.5, None, 0.4], nll) == 4


@pytest.mark.parametrize(("patience", "ends"), [(1, 3), (2, 4), (3, 5), (4, 6), (9, 6), (None, 6)])
def test_patience_counts_epochs_since_the_best_one(patience: int | None, ends: int) -> None:
    recipe = Recipe(**RECIPE, patience=patience)
    over = [kept.is_over(recipe, epoch, [FOUND[:epoch]], ACCURACY) for epoch in range(7)]
    assert over == [epoch >= ends for epoch in range(7)]
    never = [kept.is_over(recipe, epoch, [[None] * epoch], ACCURACY) for epoch in range(7)]
    assert never == [epoch == 6 for epoch in range(7)], "without accuracies nothing is without a gain"
    still_rising = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    both = [kept.is_over(recipe, epoch, [FOUND[:epoch], still_rising[:epoch]], ACCURACY) for epoch in range(7)]
    assert both == [epoch == 6 for epoch in range(7)], "one network that still gains lets all go on"


def test_the_weights_are_those_of_the_best_epoch(specs: dict[str, Any], tmp_path: Path) -> None:
    of = made(specs, keep="best")
    seen: list[dict[str, Tensor]] = []
    validate = scripted(of)

    def noting(model: nn.Module) -> dict[str, float]:
        seen.append(weights(model))
        return validate(model)

    of.run(State(tmp_path), noting, lambda row: None, lambda text: None, every=1e9)
    result = of.learners[0].result.state_dict()
    assert [equal(result, each) for each in seen] == [False, True, False, False, False, False]
    assert of.epochs() == {"kept": 2, "trained": 6}
    last = made(specs)
    run(last, tmp_path / "last")
    assert equal(last.learners[0].result.state_dict(), of.model.state_dict()), "the training itself is as it was"
    assert last.epochs() is None


def test_it_says_how_many_steps_of_all_epochs_are_done(specs: dict[str, Any], tmp_path: Path) -> None:
    of, moved = made(specs), []
    of.run(State(tmp_path), scripted(of), lambda row: None, lambda text: None, 1e9, moved.append)
    assert of.steps > 1 and moved == [*range(1, 6 * of.steps + 1)]


def test_another_metric_decides_which_weights_are_kept_and_has_a_column(specs: dict[str, Any], tmp_path: Path) -> None:
    """The same figures: as an accuracy the second epoch is the best, as an NLL the last."""
    kept_by = {}
    for select in (None, "nll"):
        spec = changed(specs["baseline"], select=select)
        of = made({"baseline": spec}, keep="best")
        run(of, tmp_path / str(select))
        kept_by[select] = of.epochs()
        assert ("validation_nll" in of.rows()[0]) == (select == "nll") and "validation_accuracy" in of.rows()[0]
    assert kept_by == {None: {"kept": 2, "trained": 6}, "nll": {"kept": 6, "trained": 6}}
    stopping = made({"baseline": changed(specs["baseline"], select="nll")}, patience=3)
    run(stopping, tmp_path / "stops")
    assert stopping.epochs() == {"kept": 4, "trained": 4}, "none of three is below the first"


def test_peers_keep_their_own_best_ones(specs: dict[str, Any], tmp_path: Path) -> None:
    of = made(specs, "mutual", keep="best")
    run(of, tmp_path)
    assert [of.epochs(k) for k in (0, 1)] == [{"kept": 2, "trained": 6}, {"kept": 1, "trained": 6}]
    assert not equal(of.learners[0].result.state_dict(), of.learners[0].model.state_dict())


def test_patience_stops_and_says_so(specs: dict[str, Any], tmp_path: Path) -> None:
    of = made(specs, patience=2)
    assert run(of, tmp_path) == ["2 epochs without a better one in validation: stops after 4"]
    assert len(of.rows()) == 4 and of.epochs() == {"kept": 4, "trained": 4}
    whole = made(specs)
    run(whole, tmp_path / "whole")
    assert curves(of)[0] == curves(whole)[0][:4], "until then it is the same training"
    state = State(tmp_path)
    assert state.is_finished(), "for `status` and `gc` it is at its end"
    again = made(specs, patience=2)
    assert "was finished before" in run(again, tmp_path)[0]
    assert equal(tensors(of), tensors(again)) and curves(of) == curves(again)


@pytest.mark.parametrize("name", ["baseline", "mutual"])
def test_stopped_anywhere_it_ends_bit_for_bit_the_same(specs: dict[str, Any], tmp_path: Path, name: str) -> None:
    asked = {"keep": "best", "patience": 2}
    whole = made(specs, name, **asked)
    run(whole, tmp_path / "whole")
    count = whole.at.epoch * whole.steps
    assert count >= 16
    for number in range(1, count):
        runs.interrupt(of := made(specs, name, **asked), 1)
        torch.manual_seed(number)
        with pytest.raises(runs.Stopped):
            run(of, tmp_path / "stopped")
    last = made(specs, name, **asked)
    run(last, tmp_path / "stopped")
    assert equal(tensors(whole), tensors(last)) and curves(whole) == curves(last)
    assert whole.epochs() == last.epochs()
    for a, b in zip(whole.learners, last.learners, strict=True):
        assert equal(a.result.state_dict(), b.result.state_dict())


def test_every_epoch_is_measured_by_statistics_of_its_own_weights(
    specs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    monkeypatch.setattr(Training, "_estimate_again", lambda of: counted.append(of.at.epoch))
    run(made(specs), tmp_path / "last")
    assert counted == [5]
    counted.clear()
    run(made(specs, keep="best"), tmp_path / "best")
    assert counted == [0, 1, 2, 3, 4, 5]


def test_what_a_node_leaves_is_of_the_kept_epoch(specs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    accuracies: list[float] = []
    plain = learn._validation

    def falling(of: Training) -> Callable[[nn.Module], dict[str, float]]:
        """Real accuracies, but the third epoch is the best whatever it is."""
        real = plain(of)

        def validate(model: nn.Module) -> dict[str, float]:
            accuracies.append(real(model)["accuracy"])
            return {"accuracy": 2.0 if of.at.epoch == 2 else accuracies[-1]}

        return validate

    monkeypatch.setattr(learn, "_validation", falling)
    spec = specs["baseline"]
    learn.learn(changed(spec, recipe={**spec.training.recipe, "epochs": 5, "keep": "best"}))
    written = node.read("baseline")
    numbers = files.read_json(METRICS / "baseline.json")
    assert written.epochs == numbers["epochs"] == {"kept": 3, "trained": 5}
    assert numbers["validation"]["accuracy"] == pytest.approx(accuracies[2]) != accuracies[4]
    model = rebuild(written.architecture or {})
    load_weights(model, written.weights, "the node's weights")
    learn.learn(spec)
    assert node.read("baseline").epochs is None and "epochs" not in files.read_json(METRICS / "baseline.json")
