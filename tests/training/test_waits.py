"""A step makes the host wait for nothing: it asks the device for no number, and copies nothing to it or from it."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import nn

from pipeline.base.paths import DATA
from pipeline.compression.prune import Masks, magnitude
from pipeline.config.views import Preset, Views
from pipeline.data import prepared, render
from pipeline.data import rows as rows_module
from pipeline.models.fake_quantise import fake_quantise
from pipeline.training import device as device_module
from pipeline.training.device import Device
from pipeline.training.learn import open_teacher
from pipeline.training.loop import Training
from pipeline.training.seen_views import with_seen_views
from pipeline.training.teacher import NoTeacher
from tests.training import runs
from tests.training.runs import METHODS, furnish, inside
from tests.training.waits import Copies, waits

OTHER = ("baseline", "direct", "mutual")
NAMES = [*OTHER, *(f"method/{name}" for name in METHODS)]
DEEP = {"family": "residual", "depth": 8, "width": 4}


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with inside(tmp_path_factory.mktemp("waits")):
        yield furnish(Path.cwd())


@pytest.fixture
def meta(monkeypatch: pytest.MonkeyPatch) -> Device:
    """A device without data: there, asking for a number or mixing devices raises, forward and backward."""
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())  # it does not know this device
    monkeypatch.setattr("pipeline.training.learn.check_answers", lambda *of: None)  # it has none
    return Device(torch.device("meta"), torch.float32)


def on_grids(model: nn.Module) -> Callable[[], None] | None:
    """As `tune` starts on a pruned network."""
    magnitude(model, sparsity=0.5).enforce(model)
    fake_quantise(model, 4, 8)
    return Masks.of_zeros(model).keeper(model)


def started(of: Training) -> Iterator[int]:
    """An epoch whose first step is done: what it needs is where it is needed."""
    steps = of.epoch()
    next(steps)
    return steps


def steps(of: Training, count: int = 2) -> Callable[[], None]:
    """That many steps after the first of an epoch."""
    left = started(of)

    def do() -> None:
        for _ in range(count):
            next(left)

    return do


@pytest.mark.parametrize("name", NAMES)
def test_a_step_asks_for_no_number(specs: dict[str, Any], name: str) -> None:
    assert waits(steps(runs.training(specs[name]))) == 0


def test_nor_do_peers_that_step_together(specs: dict[str, Any]) -> None:
    assert waits(steps(runs.training(specs["mutual"], update="simultaneous"))) == 0


def test_nor_does_tuning_on_grids(specs: dict[str, Any]) -> None:
    spec, data = specs["baseline"], prepared.read(DATA)
    spec = with_seen_views(spec, len(data.train), len(data.classes))
    teacher, _ = open_teacher(spec, data, runs.CPU)
    of = Training(replace(spec.training, architecture=DEEP), data, teacher, runs.CPU, on_grids)
    assert waits(steps(of)) == 0


def test_nor_does_a_step_on_mixed_views(specs: dict[str, Any], meta: Device) -> None:
    views = {"shift": 1, "flip": True, "scale": 0.5, "mixup": 0.4, "cutmix": 1.0}
    assert waits(steps(runs.training(specs["baseline"], views=views))) == 0
    spec, data = runs.changed(specs["baseline"], views=views), prepared.read(DATA)
    spec = with_seen_views(spec, len(data.train), len(data.classes))
    step = steps(Training(spec.training, data, NoTeacher(), meta))
    with Copies() as copies:
        step()
    assert copies.between == 0, "what is mixed into a row is there since the epoch began"


@pytest.mark.parametrize("preset", ["standard", "strong"])
def test_nor_does_a_step_whose_views_are_recoloured(
    specs: dict[str, Any], preset: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which rows an operation is done to is known where it was drawn."""
    monkeypatch.setattr("pipeline.data.feed.AHEAD_BYTES", {"cpu": 0})  # each step makes its own views
    of = runs.training(specs["baseline"], views=Views(preset=preset).model_dump())
    with patch("pipeline.data.render.changed", wraps=render.changed) as made:
        assert waits(steps(of)) == 0
    assert made.call_count >= 3, "views of this step and those before"


def test_a_number_that_is_asked_for_is_counted() -> None:
    """The comparisons above can fail."""
    x_N = torch.tensor([-1.0, 2.0], requires_grad=True)
    assert waits(lambda: x_N[x_N > 0].sum().backward()) == 2, "the backward pass asks for the places, too"
    assert waits(lambda: float(x_N.detach().sum())) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_step_copies_nothing_between_devices(specs: dict[str, Any], meta: Device, name: str) -> None:
    spec, data = specs[name], prepared.read(DATA)
    spec = with_seen_views(spec, len(data.train), len(data.classes))
    teacher, _ = open_teacher(spec, data, meta)
    step = steps(Training(spec.training, data, teacher, meta))
    with Copies() as copies:
        step()
    assert copies.between == 0


def test_what_does_not_fit_is_sent_without_waiting(
    specs: dict[str, Any], meta: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels for each step, images for each augmentation, of which an epoch of this size has one."""
    monkeypatch.setattr(device_module, "HOST_BYTES", 0)
    sent: list[torch.Size] = []

    def record(tensor: torch.Tensor, where: torch.device) -> torch.Tensor:
        sent.append(tensor.shape)
        return rows_module.send(tensor, where)

    for module in ("pipeline.data.batches", "pipeline.training.teacher"):
        monkeypatch.setattr(f"{module}.send", record)
    spec, data = specs["direct"], prepared.read(DATA)
    spec = with_seen_views(spec, len(data.train), len(data.classes))
    teacher, _ = open_teacher(spec, data, meta)
    step = steps(Training(spec.training, data, teacher, meta))
    assert sorted(map(len, sent)) == [2, 4], "labels of the first step, and images"
    with Copies() as copies:
        step()
    assert copies.between == len(sent) - 2 == 2


def test_what_is_sent_to_a_gpu_is_pinned_first() -> None:
    calls: list[Any] = []

    class Host:
        def pin_memory(self) -> "Host":
            calls.append("pinned")
            return self

        def to(self, *args: Any, **kwargs: Any) -> None:
            calls.append((args, kwargs))

    for name in ("cuda", "cpu"):
        rows_module.send(Host(), torch.device(name))  # pyright: ignore[reportArgumentType]
    assert calls == ["pinned", ((torch.device("cuda"),), {"non_blocking": True}), ((torch.device("cpu"),), {})]


def test_stored_labels_are_the_same_where_they_do_not_fit(
    specs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = runs.training(specs["direct"])
    monkeypatch.setattr(device_module, "HOST_BYTES", 0)
    read = runs.training(specs["direct"])
    assert fit.teacher.fits and not read.teacher.fits  # pyright: ignore[reportAttributeAccessIssue]
    for name, of in {"fit": fit, "read": read}.items():
        runs.run(of, tmp_path / name)
    assert runs.equal(runs.tensors(fit), runs.tensors(read)) and torch.equal(fit.losses_SKL, read.losses_SKL)


def test_an_epoch_asks_once_whether_all_is_finite(specs: dict[str, Any]) -> None:
    of = runs.training(specs["mutual"])
    for _ in of.epoch():
        pass
    assert waits(of._check_finite) == 1


def test_a_second_forward_pass_copies_no_statistics(specs: dict[str, Any]) -> None:
    (learner, _) = runs.training(specs["mutual"]).learners
    learner.train()
    before = {name: buffer.clone() for name, buffer in learner.model.named_buffers()}
    with Copies() as copies:
        learner.forward_again(torch.rand(4, 1, 8, 8))
    assert before and copies.all == 0
    assert all(torch.equal(buffer, before[name]) for name, buffer in learner.model.named_buffers())
    learner.forward(torch.rand(4, 1, 8, 8))
    assert not all(torch.equal(buffer, before[name]) for name, buffer in learner.model.named_buffers())
