"""An epoch of soft-target training from stored labels, over an epoch of plain supervised training."""

from pathlib import Path

from benchmarks import world
from benchmarks.measure import Figure, interleaved, ratio
from pipeline.training.teacher import StoredLabels


def measure(folder: Path, tiny: bool) -> list[Figure]:
    """ResNet-20 on images of CIFAR's size, and the smallest student on the embedded digits' size."""
    on = world.device()
    found = []
    for case in world.cases(folder, tiny):
        teacher = on.forward(world.network(case.data, case.architecture, on))
        labels = world.labels(case.data, teacher, folder / case.name, on, views=case.views, batch=case.batch)
        arms = {
            "hard labels": world.epochs(case.training(on)).__next__,
            "stored labels": world.epochs(case.training(on, world.SOFT, StoredLabels(labels, on))).__next__,
        }
        seconds = interleaved(arms, case.rounds)
        found.append(ratio(f"{case.name}: stored ÷ hard", seconds, "stored labels", "hard labels", goal=1.02))
    return found
