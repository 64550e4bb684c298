"""Writing the labels of V views over the bare teacher's forward passes on as many images."""

import itertools
from pathlib import Path

from benchmarks import world
from benchmarks.measure import Figure, interleaved, ratio

VIEWS = 2


def measure(folder: Path, tiny: bool) -> list[Figure]:
    """The clean images and two views: pixels, forward passes, encoding, hashing, files."""
    on = world.device()
    found = []
    for case in world.cases(folder, tiny):
        forward = on.forward(world.network(case.data, case.architecture, on))
        bare = world.forwards(forward, case.data, case.batch, on)
        fresh = (folder / f"{case.name} {number}" for number in itertools.count())
        arms = {
            "labels": lambda case=case, forward=forward, fresh=fresh: world.labels(
                case.data, forward, next(fresh), on, views=case.views, count=VIEWS, batch=case.batch
            ),
            "forward": lambda bare=bare: [bare() for _ in range(VIEWS + 1)],
        }
        seconds = interleaved(arms, case.rounds if tiny else max(case.rounds // 4, 9))
        found.append(ratio(f"{case.name}: labelling ÷ forward", seconds, "labels", "forward", goal=1.05))
    return found
