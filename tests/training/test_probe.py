"""A linear probe sees each view once, and ends bit for bit as where it is forwarded each time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.training import device as device_module
from pipeline.training.loop import Training
from pipeline.training.probe import head_of
from tests.training import runs
from tests.training.runs import curves, equal, furnish, inside, tensors, training

STILL = {"shift": 0, "flip": False, "scale": 1.0}
EPOCHS = 4


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with inside(tmp_path_factory.mktemp("probe")):
        yield furnish(Path.cwd())


def made(specs: dict[str, Any], name: str = "baseline", recipe: dict[str, Any] | None = None, **more: Any) -> Training:
    asked = {**specs[name].training.recipe, "epochs": EPOCHS, "freeze": "embedding", **(recipe or {})}
    return training(specs[name], recipe=asked, **more)


def passes(of: Training) -> list[int]:
    """Images of each pass through the body, noted from now on."""
    found: list[int] = []
    first = next(each for each in of.model.modules() if isinstance(each, nn.Conv2d))
    first.register_forward_hook(lambda module, inputs, output: found.append(len(output)))
    return found


@pytest.mark.parametrize(("name", "more", "distinct"), [("baseline", {"views": STILL}, 1), ("direct", {}, 2)])
def test_the_body_sees_each_view_once(
    specs: dict[str, Any], tmp_path: Path, name: str, more: dict[str, Any], distinct: int
) -> None:
    of = made(specs, name, **more)
    assert of.probe is not None and of.spec.distinct_views == runs.EPOCHS == 2
    seen = passes(of)
    runs.run(of, tmp_path)
    assert seen == [25] * 4 * distinct, "four passes a view"


@pytest.mark.parametrize("name", ["baseline", "direct"])
@pytest.mark.parametrize("recipe", [{}, {"ema": 0.9, "accumulate": 2, "optimizer": "adamw", "keep": "best"}], ids=str)
def test_what_is_kept_decides_no_bit(
    specs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, recipe: dict[str, Any]
) -> None:
    recipe = {**recipe, "batch_size": 48}  # batches of 34, 33 and 33: all passes are of 34
    kept = made(specs, name, recipe)
    runs.run(kept, tmp_path / "kept")
    monkeypatch.setattr(device_module, "HOST_BYTES", 0)
    forwarded = made(specs, name, recipe)
    assert forwarded.probe is not None and forwarded.probe.most == 0
    seen = passes(forwarded)
    runs.run(forwarded, tmp_path / "forwarded")
    assert seen == [34] * 3 * EPOCHS
    assert equal(tensors(kept), tensors(forwarded)) and curves(kept) == curves(forwarded)


def test_it_learns_what_the_whole_network_learns_with_all_but_its_head_frozen(
    specs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = made(specs)
    runs.run(probe, tmp_path / "probe")
    monkeypatch.setattr(Training, "_probe", lambda of: None)
    whole = made(specs)
    assert whole.probe is None
    runs.run(whole, tmp_path / "whole")
    for one, other in zip(tensors(probe).values(), tensors(whole).values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_stopped_anywhere_it_ends_bit_for_bit_the_same(specs: dict[str, Any], tmp_path: Path) -> None:
    whole = made(specs, "direct")
    runs.run(whole, tmp_path / "whole")
    for number in range(1, EPOCHS * whole.steps):
        runs.stopped_after(made(specs, "direct"), tmp_path / "stopped", 1)
        torch.manual_seed(number)
    last = made(specs, "direct")
    runs.run(last, tmp_path / "stopped")
    assert equal(tensors(whole), tensors(last)) and curves(whole) == curves(last)


def test_where_more_than_a_head_learns_or_pixels_are_needed_there_is_none(specs: dict[str, Any]) -> None:
    assert made(specs, recipe={"freeze": "stage1"}).probe is None
    assert made(specs, "direct", teaching="live", teacher_batch=32).probe is None
    assert made(specs, "mutual").probe is None


def test_dropout_before_the_head_is_not_frozen_into_the_features(specs: dict[str, Any]) -> None:
    of = made(specs)
    learner = of.learners[0]

    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.drop, self.head = nn.Flatten(), nn.Dropout(0.1), nn.Linear(64, 10)

        def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
            return self.head(self.drop(self.body(x_BCHW)))

    learner.model, learner.frozen = Dropping(), []
    learner.forward = runs.CPU.forward(learner.model)
    assert head_of(learner, "body", 1, 8) is None
    learner.frozen = [learner.model.get_submodule("drop")]
    assert head_of(learner, "body", 1, 8) is learner.model.get_submodule("head")
