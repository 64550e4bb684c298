"""What a chain loses where an assistant labels the very views that it was trained on.

teacher -> assistant -> student on Fashion-MNIST with scaled crops, seed by seed: the assistant is trained on the
teacher's labels of one stream, then labels that stream, or another one, and a student learns from each. Once with a
new view at each epoch, once with few views that come again. Written after each seed, and gone on with from there.
"""

import itertools
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import world
from pipeline.base.errors import UserError
from pipeline.base.files import read_json, write_json
from pipeline.config.views import Views
from pipeline.data.batches import Pixels
from pipeline.data.feed import augment_ahead
from pipeline.data.prepared import Prepared, Split
from pipeline.data.rows import Rows
from pipeline.data.sources.fashion_mnist import load
from pipeline.data.streams import FIRST, TRAIN, to_label
from pipeline.data.views import draw
from pipeline.evaluation.metrics import accuracy
from pipeline.evaluation.statistics import paired, summary
from pipeline.labels.labeller import forward_fixed, predict
from pipeline.training.loop import Training
from pipeline.training.teacher import StoredLabels, Teacher

VIEWS: dict[str, Any] = {"shift": 2, "flip": True, "scale": 0.3}
BATCH = 64
UNSEEN = to_label((FIRST,))
SEEN, NEW = "seen views", "unseen views"
SOFT = {"soft_targets": {"weight": 1.0, "temperature": 2.0}}


@dataclass(frozen=True)
class Setting:
    """Images, networks and epochs; equal for all seeds of a file."""

    images: int = 2000
    epochs: int = 40
    distinct: tuple[int, ...] = (40, 8)
    teacher: tuple[int, ...] = (16, 32, 64)
    assistant: tuple[int, ...] = (16, 32, 64)
    student: tuple[int, ...] = (4, 8, 16)


TINY = Setting(64, 2, (2, 1), (4, 8), (4, 8), (4, 8))


def measure(out: Path, root: Path, seeds: int, tiny: bool, log: Callable[[str], None]) -> dict[str, Any]:
    """Run the seeds that `out` lacks, and write it anew after each; return what it holds.

    Raises:
        UserError: There are no images under `root`, or `out` is of another setting.
    """
    setting = TINY if tiny else Setting()
    asked = {"benchmark": "streams", "views": VIEWS, "batch": BATCH, "tiny": tiny, "setting": _plain(asdict(setting))}
    whole: dict[str, Any] = read_json(out) if out.exists() else {**asked, "seeds": {}}
    if {key: whole.get(key) for key in asked} != asked:
        raise UserError(f"{out} is of another setting: name another file")
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            if str(seed) in whole["seeds"]:
                continue
            data = world.images(Path(folder), 64, channels=1, size=8) if tiny else _images(root, setting.images, seed)
            whole["seeds"][str(seed)] = found = chain(data, setting, seed, Path(folder) / str(seed))
            whole["figures"] = figures(whole["seeds"].values())
            write_json(out, whole)
            log(f"seed {seed}: " + ", ".join(f"{name} {value:.1f}" for name, value in found.items()))
    return whole


def chain(data: Prepared, setting: Setting, seed: int, folder: Path) -> dict[str, float]:
    """The chain of one seed, with either stream for the student; percent."""
    on = world.device("float32", "cpu")
    more: dict[str, Any] = {"views": VIEWS, "on": on, "batch": BATCH}

    def trained(
        widths: tuple[int, ...], objective: dict[str, Any], role: int, stream: str, by: Teacher | None
    ) -> Training:
        network, recipe = {"family": "plain", "widths": list(widths)}, {"epochs": setting.epochs, "lr": 0.05}
        of = world.training(data, network, objective, by, seed=10 * seed + role, stream=stream, **recipe, **more)
        epochs = world.epochs(of)
        for _ in range(setting.epochs):
            next(epochs)
        of.model.eval()
        return of

    def labels(of: Training, stream: str, distinct: int) -> StoredLabels:
        forward, where = on.forward(of.model), folder / str(next(numbers))
        written = world.labels(data, forward, where, on, views=VIEWS, stream=stream, count=distinct, batch=BATCH)
        return StoredLabels(written, on)

    numbers = itertools.count()
    teacher = trained(setting.teacher, world.HARD, 0, TRAIN, None)
    found = {"teacher": _right(teacher.model, data)}
    for distinct in setting.distinct:
        assistant = trained(setting.assistant, SOFT, 1, FIRST, labels(teacher, FIRST, distinct))
        found[f"{distinct} views: assistant"] = _right(assistant.model, data)
        for kind, stream in ((SEEN, FIRST), (NEW, UNSEEN)):
            found[f"{distinct} views: assistant on {kind}"] = _right_on_views(assistant.model, data, stream, distinct)
            student = trained(setting.student, SOFT, 2, stream, labels(assistant, stream, distinct))
            found[f"{distinct} views: student of {kind}"] = _right(student.model, data)
    return found


def figures(seeds: Any) -> dict[str, Any]:
    """Means and deviations over seeds, and paired differences with their 95 % intervals."""
    rows = list(seeds)
    found: dict[str, Any] = {"means": {name: asdict(summary([row[name] for row in rows])) for name in rows[0]}}
    for case in dict.fromkeys(name.split(":")[0] for name in rows[0] if ":" in name):
        for who, a, b in (("assistant on", SEEN, NEW), ("student of", NEW, SEEN)):
            values = ([row[f"{case}: {who} {kind}"] for row in rows] for kind in (a, b))
            found[f"{case}: {who} {a}, less {b}"] = asdict(paired(*values))
    return found


def _images(root: Path, count: int, seed: int) -> Prepared:
    """`count` training images, drawn by the seed, and all test images."""
    source = load(root, None, True, download=False)
    assert source.splits is not None
    train, held = (np.flatnonzero([each == split for each in source.splits]) for split in ("train", "test"))
    rows = np.sort(train[np.random.default_rng(seed).permutation(len(train))[:count]])
    few = Split(_array(source.images, rows), source.labels[rows])
    test = Split(_array(source.images, held), source.labels[held])
    mean, std = (float(each) for each in (np.asarray(few.images).mean() / 255, np.asarray(few.images).std() / 255))
    size = few.images.shape[-1]
    return Prepared(few, test, test, few.labels, source.classes, (mean,), (std,), 1, size, "0" * 64)


def _array(images: Any, rows: np.ndarray) -> Any:
    """Some images in memory, uint8 (N, C, H, W)."""
    return np.asarray(images[rows])


def _right(model: nn.Module, data: Prepared) -> float:
    """Percent of the clean test images."""
    mean_C, std_C = (torch.tensor(each) for each in (data.mean, data.std))
    pixels = Pixels(data.test.images, torch.device("cpu"), 2**40)
    z_NC = predict(model.eval(), pixels, mean_C, std_C, batch_size=256)
    return 100 * accuracy(z_NC, torch.from_numpy(np.array(data.test.labels)))


def _right_on_views(model: nn.Module, data: Prepared, stream: str, count: int) -> float:
    """Percent of the views 1 .. `count` of the training images in a stream."""
    mean_C, std_C = (torch.tensor(each) for each in (data.mean, data.std))
    pixels, where = Pixels(data.train.images, torch.device("cpu"), 2**40), torch.device("cpu")
    rows = Rows.on(where, np.arange(len(pixels))).split(256)
    y_N, right = torch.from_numpy(np.array(data.train.labels)), []
    for v in range(1, count + 1):
        drawn = draw(Views(**VIEWS), 0, stream, v, len(pixels), data.size)
        with torch.no_grad():
            z_NC = torch.cat(
                [forward_fixed(model, x_BCHW, 256) for x_BCHW in augment_ahead(pixels, drawn, rows, mean_C, std_C)]
            )
        right.append(accuracy(z_NC, y_N))
    return 100 * float(np.mean(right))


def _plain(value: Any) -> Any:
    """As JSON has it."""
    return {key: list(each) if isinstance(each, tuple) else each for key, each in value.items()}
