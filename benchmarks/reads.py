"""Reading the labels of 128 random samples: from the store, from a raw memory map, from a file a sample.

At 100 classes, and at 1,000, where the store keeps the top k if nothing else is asked for.
"""

from pathlib import Path

import numpy as np
import torch

from benchmarks import world
from benchmarks.measure import Figure, interleaved, ratio
from pipeline.labels.layout import Format

BATCH = 128


KEPT = {100: 9, 1_000: 10}  # values a row of the top-k store, by classes


def measure(folder: Path, tiny: bool) -> list[Figure]:
    """10,000 samples, dense and top-k; the files are bare .npy, quicker to read than pickled ones."""
    return [figure for classes in KEPT for figure in _of(folder / str(classes), classes, tiny)]


def _of(folder: Path, classes: int, tiny: bool) -> list[Figure]:
    count, often = (200, 2) if tiny else (10_000, 20)
    folder.mkdir()
    data = world.images(folder, count, channels=1, size=8, classes=classes)
    drawn = np.random.default_rng(0)
    z_NC = torch.from_numpy(drawn.normal(size=(count, classes)).astype(np.float32))
    logits = iter(z_NC.split(BATCH) * 2)

    def forward(x_BCHW: torch.Tensor) -> torch.Tensor:
        z_BC = next(logits)
        return torch.cat([z_BC, z_BC.new_zeros(len(x_BCHW) - len(z_BC), classes)])

    on = world.device()
    few = Format("topk", "float16", KEPT[classes])
    dense = world.labels(data, forward, folder / "dense", on, count=0, batch=BATCH)
    topk = world.labels(data, forward, folder / "topk", on, count=0, batch=BATCH, format=few)
    np.save(folder / "raw.npy", z_NC.numpy())
    raw = np.asarray(np.load(folder / "raw.npy", mmap_mode="r"))  # without np.memmap's own cost of each read
    (folder / "files").mkdir()
    for row in range(count):
        np.save(folder / "files" / f"{row}.npy", z_NC[row].numpy())
    rows = [drawn.integers(0, count, BATCH) for _ in range(often)]
    arms = {
        "store, dense": lambda: [dense.rows(0, rows_B) for rows_B in rows],
        "store, top-k": lambda: [topk.rows(0, rows_B) for rows_B in rows],
        "memory map": lambda: [torch.from_numpy(raw[rows_B]) for rows_B in rows],
        "a file a sample": lambda: [
            torch.from_numpy(np.stack([np.load(folder / "files" / f"{row}.npy") for row in rows_B])) for rows_B in rows
        ],
    }
    seconds = interleaved(arms, 2 if tiny else 60)
    of = f"of {classes:,} classes"
    return [
        ratio(f"dense store {of} ÷ memory map", seconds, "store, dense", "memory map", goal=1.2),
        ratio(f"top-k store {of} ÷ memory map", seconds, "store, top-k", "memory map", goal=1.2),
        ratio(f"a file a sample ÷ dense store {of}", seconds, "a file a sample", "store, dense", goal=100, most=False),
    ]
