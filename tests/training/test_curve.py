"""A row of the curve counts images, not steps; and so does what is printed before."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.config.recipe import Recipe
from pipeline.config.select import metric_of
from pipeline.training.checkpoint import Position
from pipeline.training.curve import epoch_rows
from pipeline.training.job import describe
from tests.training import runs
from tests.training.runs import furnish, inside


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with inside(tmp_path_factory.mktemp("curve")):
        yield furnish(Path.cwd())


def test_each_image_weighs_the_same_in_the_loss_and_is_counted_once() -> None:
    """By a loop over images: the loss of an image is that of its batch."""
    sizes_S = [3, 3, 2]
    losses_SKL = torch.from_numpy(np.random.default_rng(0).random((3, 2, 3), dtype=np.float32))
    at = Position(epoch_seconds=0.5)
    recipe = Recipe(epochs=1, batch_size=3, lr=0.1)
    names = [("loss", "cross_entropy"), ("loss", "soft_targets")]
    rows = epoch_rows(at, recipe, names, sizes_S, losses_SKL, [{"accuracy": 0.5, "nll": 0.7}, {}], metric_of("nll"))
    assert [[row["validation_accuracy"], row["validation_nll"]] for row in rows] == [[0.5, 0.7], [None, None]]
    for k, row in enumerate(rows):
        for column, place in (("loss", 0), (f"loss_{names[k][1]}", 1)):
            each = [float(losses_SKL[step, k, place]) for step, size in enumerate(sizes_S) for _ in range(size)]
            assert row[column] == pytest.approx(sum(each) / 8, rel=1e-12)
        assert row["images_per_second"] == 16
    assert rows[0]["loss"] != pytest.approx(float(losses_SKL[:, 0, 0].mean()), rel=1e-6), "the comparison can fail"


@pytest.mark.parametrize(
    ("batch_size", "sizes", "words"),
    [
        (32, [25] * 4, "100 images, 2 epochs"),
        (48, [34, 33, 33], "100 images, 2 epochs, batches of 34 (batch_size 48)"),
        (100_000, [100], "100 images, 2 epochs, batches of 100 (batch_size 100,000)"),
    ],
)
def test_the_header_counts_real_images_and_names_the_batch_where_it_is_far_below(
    specs: dict[str, Any], batch_size: int, sizes: list[int], words: str
) -> None:
    spec = specs["baseline"]
    of = runs.training(spec, recipe={**spec.training.recipe, "batch_size": batch_size})
    assert of.sizes_S == sizes and of.steps == len(sizes)
    assert describe(spec, of, runs.CPU).size == words
    assert [len(each.rows) for each in of._batches(0)] == sizes
