"""An epoch of our loop over an epoch of twenty lines by hand, supervised, on the same tensors."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional as F

from benchmarks import world
from benchmarks.measure import Figure, interleaved, ratio
from pipeline.data.batches import batches, order
from pipeline.data.feed import augment_ahead
from pipeline.data.rows import Rows
from pipeline.data.views import draw
from pipeline.training.device import Device
from pipeline.training.loop import Training


def measure(folder: Path, tiny: bool) -> list[Figure]:
    """Against a loop that is handed ready batches (none is faster), and against one that augments them, too."""
    on = world.device()
    found = []
    for case in world.cases(folder, tiny):
        arms = {
            "ours": world.epochs(case.training(on)).__next__,
            "ready batches": by_hand(case.training(on), on, augmenting=False),
            "augmenting": by_hand(case.training(on), on, augmenting=True),
        }
        seconds = interleaved(arms, case.rounds)
        found += [
            ratio(f"{case.name}: ours ÷ by hand, {name}", seconds, "ours", name, goal=1.03) for name in list(arms)[1:]
        ]
    return found


def by_hand(of: Training, on: Device, augmenting: bool) -> Callable[[], None]:
    """The same network, data and recipe without anything of ours around them."""
    model, data = of.model.train(), of.data
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, nesterov=True, fused=True)

    def augmented(epoch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        drawn = draw(of.views, 0, "train", epoch + 1, len(data.train), data.size)
        numbers = batches(order(0, epoch, len(data.train)), of.recipe.batch_size)
        rows = [Rows.on(on.where, rows_B) for rows_B in numbers]
        images = augment_ahead(of.images, drawn, rows, of.mean_C, of.std_C)
        return [(x_BCHW, of.labels_N[each.device_B]) for x_BCHW, each in zip(images, rows, strict=True)]

    ready = augmented(0)

    def epoch() -> None:
        for x_BCHW, y_B in augmented(1) if augmenting else ready:
            with on.computing():
                z_BC = model(on.layout(x_BCHW))
            loss = F.cross_entropy(z_BC.float(), y_B)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch
