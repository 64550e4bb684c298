"""The top-k label store against the dense one at 100 classes: bytes of a view, and the test accuracy of a student.

The 100 classes are pairs of real handwritten digits side by side, from scikit-learn's: those of training images and
those of test images are other people's digits.
"""

from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import world
from benchmarks.measure import Figure
from pipeline.data.batches import Pixels
from pipeline.data.prepared import Prepared, Split
from pipeline.evaluation.metrics import accuracy
from pipeline.labels.labeller import predict
from pipeline.labels.layout import Format
from pipeline.labels.store import view_path
from pipeline.training.device import Device
from pipeline.training.loop import Training
from pipeline.training.teacher import StoredLabels

FORMATS = {"dense": Format("dense", "float16"), "topk": Format("topk", "float16", 9)}
# At 1 what top-k spreads evenly has the probability that it had; at 4 it weighs more than that.
TEMPERATURES = (1.0, 4.0)
VIEWS = {"shift": 1, "flip": False, "scale": 1.0}
TEACHER = {"family": "plain", "widths": [32, 64, 128]}
STUDENT = {"family": "plain", "widths": [16, 32, 32]}


def measure(folder: Path, tiny: bool) -> list[Figure]:
    """Students of both stores, with the same seeds."""
    on = world.device()
    train, test, epochs, seeds = (256, 128, 1, 2) if tiny else (8_000, 10_000, 15, 5)
    data = pairs(folder, train, test)
    more: dict[str, Any] = {"batch": 128, "views": VIEWS, "on": on, "epochs": epochs, "lr": 0.1}
    teacher = trained(world.training(data, TEACHER, **more))
    stored = {
        name: world.labels(data, on.forward(teacher), folder / name, on, views=VIEWS, count=epochs, format=format)
        for name, format in FORMATS.items()
    }
    size = {name: view_path(folder / name, 1).stat().st_size for name in FORMATS}
    figures = [Figure("bytes of a view, top-k ÷ dense float16", size["topk"] / size["dense"], goal=0.15, note="k = 9")]
    for temperature in TEMPERATURES:
        soft = {"soft_targets": {"weight": 1.0, "temperature": temperature}}
        found: dict[str, list[float]] = {name: [] for name in FORMATS}
        for seed in range(seeds):
            for name, labels in stored.items():
                student = trained(world.training(data, STUDENT, soft, StoredLabels(labels, on), seed=seed, **more))
                found[name].append(100 * right(student, data, on))
        losses = [dense - topk for dense, topk in zip(found["dense"], found["topk"], strict=True)]
        middle, spread = mean(losses), stdev(losses)
        note = f"teacher {100 * right(teacher, data, on):.1f} %, students {mean(found['dense']):.2f} % of dense labels"
        name = f"points lost at temperature {temperature:g}, mean ± deviation"
        figures.append(Figure(name, middle, middle - spread, middle + spread, 0.1, note=note))
    return figures


def pairs(folder: Path, train: int, test: int) -> Prepared:
    """Two digits side by side on 16x16: the class is the number that they make."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    drawn = np.random.default_rng(0)

    def split(name: str, of: slice, count: int) -> Split:
        images_N88 = (digits.images[of] * 15).astype(np.uint8)
        left_N, right_N = drawn.integers(0, len(images_N88), (2, count))
        whole = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, (count, 1, 16, 16))
        whole[:, 0, 4:12, :8], whole[:, 0, 4:12, 8:] = images_N88[left_N], images_N88[right_N]
        return Split(whole, 10 * digits.target[of][left_N] + digits.target[of][right_N])

    some, other = split("train", slice(1200), train), split("test", slice(1200, None), test)
    names = tuple(f"{number:02}" for number in range(100))
    return Prepared(some, other, other, some.labels, names, (0.15,), (0.3,), 1, 16, "0" * 64)


def trained(of: Training) -> nn.Module:
    """Its network after all epochs."""
    epochs = world.epochs(of)
    for _ in range(of.recipe.epochs):
        next(epochs)
    return of.model.eval()


def right(model: nn.Module, data: Prepared, on: Device) -> float:
    """Its accuracy on the test images."""
    pixels = Pixels(data.test.images, on.where, on.room())
    mean_C, std_C = (torch.tensor(each, device=on.where) for each in (data.mean, data.std))
    z_NC = predict(on.forward(model.eval()), pixels, mean_C, std_C, batch_size=256)
    return accuracy(z_NC.cpu(), torch.from_numpy(data.test.labels))
