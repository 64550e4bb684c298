"""Short trainings leave BatchNorm with statistics of their weights, exactly, and say where a network only guesses."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.data import prepared
from pipeline.lineage import node
from pipeline.models.build import build
from pipeline.training.chance import warn_at_chance
from pipeline.training.learn import learn, open_teacher
from pipeline.training.loop import Training
from pipeline.training.norms import are_too_few, check_single_images, norms_of, raise_momentum
from tests.training import runs
from tests.training.runs import changed, equal, furnish, inside, tensors

STEPS = 8  # two epochs of four
DEEP = {"family": "residual", "depth": 8, "width": 4}


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with inside(tmp_path_factory.mktemp("norms")):
        yield furnish(Path.cwd())


def slowed(model: nn.Module) -> None:
    """As a network comes that was made for long trainings."""
    for norm in norms_of(model).values():
        norm.momentum = 0.01


def slow(specs: dict[str, Any]) -> Training:
    """A training of a network whose momentum is low."""
    spec, data = changed(specs["baseline"], architecture=DEEP), prepared.read(DATA)
    teacher, _ = open_teacher(spec, data, runs.CPU)
    return Training(spec.training, data, teacher, runs.CPU, slowed)


@pytest.mark.parametrize(
    ("own", "steps", "found", "raised"),
    [
        (0.01, 160, 0.1, 0.1),
        (0.01, 1000, 0.02, 0.02),
        (0.01, 2000, 0.01, None),
        (0.01, 10**6, 0.01, None),
        (0.1, 1, 0.1, None),
        (0.3, 1000, 0.3, None),
        (None, 10, None, None),
    ],
)
def test_the_momentum_is_the_larger_of_its_own_and_what_the_steps_ask_for(
    own: float | None, steps: int, found: float | None, raised: float | None
) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, momentum=own), nn.BatchNorm2d(2))
    assert raise_momentum(norms_of(model).values(), steps) == raised
    assert isinstance(model[1], nn.BatchNorm2d) and model[1].momentum == found
    assert isinstance(model[2], nn.BatchNorm2d) and model[2].momentum == 0.1


def test_no_layer_of_a_network_made_for_long_trainings_is_left_behind() -> None:
    model = build({"family": "torchvision", "name": "mobilenet_v3_small"}, channels=1, size=32, classes=3)
    norms = norms_of(model)
    assert {norm.momentum for norm in norms.values()} == {0.01}
    assert raise_momentum(norms.values(), 500) == 0.04 and {norm.momentum for norm in norms.values()} == {0.04}


def test_statistics_are_made_again_where_too_much_of_the_first_is_left() -> None:
    norms = [nn.BatchNorm2d(2, momentum=0.5), nn.BatchNorm2d(2)]
    assert are_too_few(norms, 87) and not are_too_few(norms, 88), "0.9 ** 88 is below 1e-4"
    assert not are_too_few([], 1) and not are_too_few([nn.BatchNorm2d(2, momentum=None)], 1)


def test_at_the_end_they_are_the_mean_over_the_batches_of_one_view(specs: dict[str, Any], tmp_path: Path) -> None:
    of = slow(specs)
    learner = of.learners[0]
    assert learner.batch_norm == {"momentum": 0.1, "estimated_again": True}
    assert of.steps * of.recipe.epochs == STEPS
    runs.run(of, tmp_path / "state")
    weights = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    # By hand: in training mode each layer normalises by its own batch, as the layers before it do.
    norms = norms_of(learner.model)
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in norms}
    for name, norm in norms.items():

        def note(_: nn.Module, inputs: tuple[Tensor], name: str = name) -> None:
            seen[name].append((inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3))))

        norm.register_forward_pre_hook(note)
    of.at.epoch = 0
    learner.model.train()
    with torch.no_grad():
        for batch in of._batches(0):
            learner.model(batch.x_BCHW)
    for name, found in seen.items():
        assert len(found) == of.steps
        means, variances = (torch.stack(each).mean(0) for each in zip(*found, strict=True))
        torch.testing.assert_close(weights[f"{name}.running_mean"], means, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(weights[f"{name}.running_var"], variances, rtol=1e-4, atol=1e-5)
    assert {norm.momentum for norm in norms.values()} == {0.1}


def test_stopped_anywhere_it_ends_bit_for_bit_the_same(specs: dict[str, Any], tmp_path: Path) -> None:
    whole = slow(specs)
    runs.run(whole, tmp_path / "whole")
    for steps in range(1, STEPS + 1):
        runs.stopped_after(slow(specs), tmp_path / str(steps), steps)
        rest = slow(specs)
        runs.run(rest, tmp_path / str(steps))
        assert equal(tensors(rest), tensors(whole))


def test_what_does_not_learn_keeps_its_statistics(specs: dict[str, Any], tmp_path: Path) -> None:
    """A hint reaches the lower layers alone."""
    spec = specs["method/fitnet_joint"]
    hint = {"fitnet_hint": {"weight": 1.0, "layers": {"stage1": "stage1"}}}
    of = runs.training(replace(spec, has_logits=False), objective=hint, teaching="live", teacher_batch=32)
    learner = of.learners[0]
    frozen = [norm for norm in learner.norms if norm in learner.frozen]
    assert frozen and learner.estimates_again and len(learner.learning_norms) == len(learner.norms) - len(frozen) > 0
    runs.run(of, tmp_path / "state")
    for norm in frozen:
        assert norm.running_mean is not None and not norm.running_mean.any()
    for norm in learner.learning_norms:
        assert norm.running_mean is not None and norm.running_mean.any()


def test_a_node_records_it(specs: dict[str, Any]) -> None:
    spec = specs["baseline"]
    learn(spec)
    assert node.read("baseline").batch_norm == {"momentum": None, "estimated_again": True}
    learn(changed(spec, recipe={**spec.training.recipe, "epochs": 22}))
    assert node.read("baseline").batch_norm is None


def test_a_batch_of_one_image_is_refused_where_it_has_no_variance() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    check_single_images(model, torch.zeros(1, 1, 2, 2))
    with pytest.raises(
        UserError, match=r"a batch of one image, of which the BatchNorm layer 1 has one value per channel"
    ):
        check_single_images(model, torch.zeros(1, 1, 1, 1))


@pytest.mark.parametrize(
    ("losses", "cross_entropy", "accuracy", "warned"),
    [
        ((2.3, 0.2), None, 0.1, True),
        ((2.3, 0.2), None, 0.12, True),
        ((2.3, 0.2), None, 0.2, False),
        ((2.3, 2.2), None, 0.1, False),  # it has not learned yet
        ((1.2,), 1.0, 0.1, True),
        ((1.2,), 1.3, 0.1, False),
        ((2.3, 0.2), None, None, False),
    ],
)
def test_a_network_that_guesses_after_a_low_loss_is_named(
    capsys: pytest.CaptureFixture[str],
    losses: tuple[float, ...],
    cross_entropy: float | None,
    accuracy: float | None,
    warned: bool,
) -> None:
    rows = [{"loss": loss, "validation_accuracy": accuracy} for loss in losses]
    if cross_entropy is not None:
        rows[-1]["loss_cross_entropy"] = cross_entropy
    warn_at_chance("student", rows, np.arange(400) % 10)
    printed = capsys.readouterr().out
    assert printed.startswith("student: validation accuracy is 1") == warned and bool(printed) == warned
