"""The loop against its slow twin: a batch at a time, from the pixels to the sum of losses. Same bits."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.config.views import Views
from pipeline.data.batches import batches, order
from pipeline.data.rows import Rows
from pipeline.data.views import augment, draw
from pipeline.objectives.compose import Signals
from pipeline.training.loop import Training
from pipeline.training.recipe import learning_rate
from tests import reference
from tests.training.runs import changed, equal, furnish, inside, live, tensors, training

LAYERS = {"stage1": "stage2"}
THREE = {
    "cross_entropy": {"weight": 0.3},
    "soft_targets": {"weight": 0.7, "final": 0.1, "temperature": 2.0},
    "fitnet_hint": {"weight": 1.5, "layers": LAYERS},
}
ZOOMED = {"shift": 2, "flip": True, "scale": 0.5}
STRONG = Views(preset="strong", hue=0.2).model_dump()


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory):
    with inside(tmp_path_factory.mktemp("twin")):
        yield furnish(Path.cwd())


def quickly(of: Training) -> Tensor:
    """All epochs as the loop has them; the losses (S, L) of all steps."""
    kept = []
    for _ in range(of.recipe.epochs):
        for _ in of.epoch():
            pass
        kept.append(of.losses_SKL[:, 0, : len(of.learners[0].names)].clone())
        of.at.epoch += 1
    return torch.cat(kept)


def slowly(of: Training) -> Tensor:
    """The same, slow and obvious."""
    (network,), recipe, data = of.learners, of.recipe, of.data
    whole, kept = recipe.epochs * of.steps, []
    for epoch in range(recipe.epochs):
        v = reference.view(epoch, of.spec.distinct_views, of.spec.views_before)
        drawn = draw(of.views, of.spec.views_seed, of.stream, v, len(data.train), data.size)
        network.train()
        for step, rows in enumerate(batches(order(of.spec.seed, epoch, len(data.train)), recipe.batch_size)):
            done, rows_B = epoch * of.steps + step, torch.from_numpy(rows)
            images_BCHW = torch.from_numpy(np.array(data.train.images[rows]))
            x_BCHW = augment(images_BCHW, drawn, rows_B, torch.tensor(data.mean), torch.tensor(data.std))
            teacher, z_BC = of.teacher.output(v, Rows(rows, rows_B), x_BCHW), network.model(x_BCHW)
            y_B = torch.from_numpy(np.array(data.train.labels[rows]))
            signals = Signals(z_BC, y_B, teacher.t_BC, network.features, teacher.features)
            losses = network.objective(signals)
            weighted = network.objective.weighted(losses, network.objective.weights(done / whole))
            for name, value in zip(losses, weighted, strict=True):
                weight = reference.weight(of.spec.objective[name], done, whole)
                torch.testing.assert_close(value, weight * losses[name], rtol=1e-5, atol=1e-7)
            total = torch.stack(weighted).sum()
            rate = learning_rate(recipe, done, whole)
            assert rate == pytest.approx(reference.learning_rate(recipe, done, whole))
            for group in network.optimizer.param_groups:
                group["lr"] = rate
            network.optimizer.zero_grad()
            total.backward()
            if recipe.clip is not None:
                nn.utils.clip_grad_norm_(network.trained.parameters(), recipe.clip)
            network.optimizer.step()
            kept.append(torch.stack([total, *losses.values()]).detach())
    return torch.stack(kept)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("baseline", {}),
        ("baseline", {"views": ZOOMED}),
        ("baseline", {"views": STRONG}),
        ("baseline", {"recipe": {"epochs": 2, "batch_size": 7, "lr": 0.1, "clip": 0.5}}),
        ("student", {}),
        ("method/dkd", {}),
        ("method/soft_targets", {"objective": THREE}),
        ("method/fsp", {}),
    ],
    ids=str,
)
def test_losses_and_weights_are_the_slow_twins(specs: dict[str, Any], name: str, changes: dict[str, Any]) -> None:
    make = live if "fitnet_hint" in changes.get("objective", {}) or name == "method/fsp" else training
    spec = specs[name]
    if name == "student":
        spec = replace(spec, teacher="teacher")
    whole = changed(spec, **changes)
    quick, slow = make(whole), make(whole)
    assert torch.equal(quickly(quick), slowly(slow))
    assert equal(tensors(quick), tensors(slow))


def test_another_order_of_batches_has_other_losses(specs: dict[str, Any]) -> None:
    """The comparison above can fail."""
    quick, slow = training(specs["baseline"]), training(specs["baseline"], seed=1)
    assert not torch.equal(quickly(quick), slowly(slow))
