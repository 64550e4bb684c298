"""What an image costs, and how much memory training takes, at 1,000 to 600,000 images of 16x16.

Each size in a process of its own, so that its peak of memory is its own; the largest a second time with its images
left on disk, as images beyond the memory that training allows itself are.
"""

import json
import resource
import sys
from pathlib import Path

import torch

from benchmarks import world
from benchmarks.measure import Figure, clock, of
from pipeline.base import programs
from pipeline.data.batches import Pixels

SIZES = (1_000, 10_000, 60_000, 600_000)
STEPS = 60
PATIENCE = 7200.0  # seconds
BATCH = 128
NET = {"family": "plain", "widths": [16, 32]}


def measure(folder: Path, tiny: bool) -> list[Figure]:
    """Images a second and memory over those at the smallest size, round by round."""
    sizes = (200, 400) if tiny else SIZES
    cases = [(count, "resident") for count in sizes] + [(sizes[-1], "mapped")]
    found: dict[tuple[int, str], list[dict[str, float]]] = {case: [] for case in cases}
    for _ in range(1 if tiny else 3):
        for case in cases:
            found[case].append(apart(folder, *case))
    base = found[cases[0]]
    figures = []
    for (count, where), each in found.items():
        rates = [one["rate"] / first["rate"] for one, first in zip(each, base, strict=True)]
        memory = max(one["memory"] for one in each)
        note = f"{of('', [one['rate'] for one in each]).value:,.0f} images/s, peak {memory / 2**20:,.0f} MiB"
        name = f"{count:,} images, {where}: images/s ÷ those at {sizes[0]:,}"
        figures.append(of(name, rates, goal=0.9, most=False, note=note))
    return figures


def apart(folder: Path, count: int, where: str) -> dict[str, float]:
    """What `one` finds in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.size", str(folder), str(count), where]
    done = programs.run(command, PATIENCE)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def one(folder: Path, count: int, where: str) -> dict[str, float]:
    """Images a second over an epoch, from what its beginning and `STEPS` of its steps take; peak bytes of memory."""
    # Files that are there are read as they are: drawing them again would be most of the memory.
    data = world.images(folder, count, size=16)
    training = world.training(data, NET, batch=BATCH, views={"shift": 2, "flip": True, "scale": 1.0})
    if where == "mapped":
        training.images = Pixels(data.train.images, training.device.where, 0)
    for _ in zip(range(min(STEPS, training.steps)), training.epoch(), strict=False):
        pass
    now, training.at.epoch = clock(), 1
    began = now()
    steps = iter(training.epoch())
    next(steps)
    first = now()
    done = sum(1 for _ in zip(range(STEPS), steps, strict=False))
    last = now()
    seconds = first - began + (last - first) / done * (training.steps - 1)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"rate": count / seconds, "memory": memory}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(one(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])))
