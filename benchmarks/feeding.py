"""The share of an epoch's time that goes into fetching, augmenting and reading labels."""

from pathlib import Path

from benchmarks import world
from benchmarks.measure import Figure, interleaved, ratio
from pipeline.training.batch import Batch
from pipeline.training.loop import Training
from pipeline.training.teacher import StoredLabels


class Idle(Training):
    """A training whose steps do nothing: what is left of an epoch is feeding it."""

    def _step(self, step: int, batch: Batch) -> None:
        pass


def measure(folder: Path, tiny: bool) -> list[Figure]:
    """From stored labels; how long a GPU waits is another question, for its own profiler."""
    on = world.device()
    found = []
    for case in world.cases(folder, tiny):
        teacher = on.forward(world.network(case.data, case.architecture, on))
        labels = world.labels(case.data, teacher, folder / case.name, on, views=case.views, batch=case.batch)
        stored = StoredLabels(labels, on)
        arms = {
            "feeding": world.epochs(case.training(on, world.SOFT, stored, kind=Idle)).__next__,
            "epoch": world.epochs(case.training(on, world.SOFT, stored)).__next__,
        }
        seconds = interleaved(arms, case.rounds)
        found.append(ratio(f"{case.name}: feeding ÷ epoch", seconds, "feeding", "epoch", goal=0.05))
    return found
