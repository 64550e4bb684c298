"""What a step of the compress chain works with: the training views that it sees, and who it has learned from."""

from typing import cast

import numpy as np
import torch

from pipeline.compression.work import BATCH, Work
from pipeline.config.views import Views
from pipeline.data.batches import order
from pipeline.data.prepared import Prepared, Split
from pipeline.data.views import augment, draw
from pipeline.lineage.node import Node
from pipeline.planning.specs.compress import ComputeStepSpec
from pipeline.planning.specs.training import ForwardSettings, LabelSettings
from tests.training.runs import CPU

COUNT, SIZE = BATCH + 9, 6
VIEWS = Views(shift=2, flip=True)
MEAN, STD = (0.4, 0.6), (0.2, 0.3)


def work(count: int = COUNT) -> Work:
    """A step on random images."""
    images = np.random.default_rng(0).integers(0, 256, (count, 2, SIZE, SIZE), np.uint8)
    split = Split(cast("np.memmap", images), np.zeros(count, np.int64))
    data = Prepared(split, split, split, split.labels, ("a", "b"), MEAN, STD, 2, SIZE, "hash")
    spec = ComputeStepSpec(
        node="compress/c1",
        step="export",
        kind="export",
        previous="student",
        continues_chain=False,
        has_logits=True,
        labels=LabelSettings(views=0, distinct=None, max_bytes=1, kind="auto", k=None, batch_size=32),
        settings={},
        images=ForwardSettings(views=VIEWS.model_dump(), views_seed=3, precision="float32"),
        code={},
    )
    return Work(spec, data, CPU, VIEWS, Node("student", "trained"))


def expected(of: Work, v: int, stream: str, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """The whole batch of one pass, image by image."""
    images_NCHW = torch.from_numpy(np.array(of.data.train.images))
    drawn = draw(VIEWS, 3, stream, v, len(images_NCHW), SIZE)
    mean_C, std_C = torch.tensor(mean), torch.tensor(std)
    rows = order(3, v, len(images_NCHW))[:BATCH]
    return torch.cat([augment(images_NCHW[[row]], drawn, torch.tensor([row]), mean_C, std_C) for row in rows])


def test_each_pass_has_its_own_view_and_order_and_whole_batches_only() -> None:
    of = work()
    found = list(of.batches(3))
    assert len(found) == 3
    for v, x_BCHW in enumerate(found, start=1):
        torch.testing.assert_close(x_BCHW, expected(of, v, "compress", MEAN, STD))


def test_no_view_is_one_that_a_network_was_trained_on() -> None:
    of = work()
    (x_BCHW,) = of.batches(1)
    for stream, v in (("train", 1), ("labels", 1), ("compress", 0)):
        assert not torch.allclose(x_BCHW, expected(of, v, stream, MEAN, STD)), stream


def test_pixels_that_are_not_normalised_lie_between_0_and_1() -> None:
    of = work(5)
    (x_BCHW,) = of.batches(1, normalised=False)
    assert (x_BCHW.min().item(), x_BCHW.max().item()) == (0, 1)
    images_NCHW = torch.from_numpy(np.array(of.data.train.images))
    drawn = draw(VIEWS, 3, "compress", 1, 5, SIZE)
    rows_N = torch.from_numpy(order(3, 1, 5))
    raw = augment(images_NCHW[rows_N], drawn, rows_N, torch.zeros(2), torch.ones(2))
    torch.testing.assert_close(x_BCHW, raw)
