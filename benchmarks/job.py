"""A whole job: from photographs to a student of a fixed teacher, ours beside timm's distillation of the same networks.

Ours prepares the photographs, labels every view once, and trains from the store and stored labels. timm reads the files
in each epoch and runs the teacher in each step. Networks, batches, epochs, crops, flips and colours are of the same
kind, float32 and channels last, on one core. Photographs are made (`store.generate`). A few are measured, by the image;
a job has 2,000 of them and 30 epochs, which is arithmetic: an epoch costs what the one before it did.
"""

import gc
import itertools
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from torch import nn

from benchmarks import feed, store, world
from benchmarks.measure import Figure, Unit, clock, interleaved
from benchmarks.others import distilled_by_timm
from pipeline.base.errors import UserError
from pipeline.config.data import Data
from pipeline.config.views import PRESETS, Views
from pipeline.data import prepared
from pipeline.data.keeping import Keeping
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.labels.labeller import Forward
from pipeline.training.device import Device
from pipeline.training.teacher import StoredLabels

IMAGES, EPOCHS = 2000, 30
KINDS = (feed.Photographs("12 megapixels", (4000, 3000), 40, 5), feed.Photographs("500×375", (500, 375), 40, 0))
TINY = (feed.Photographs("tiny", (60, 45), 40, 0),)
TEACHER = {"family": "timm", "name": "tf_efficientnet_lite0"}
STUDENT = {"family": "torchvision", "name": "mobilenet_v3_small", "pretrained": False}
SMALL = {"family": "plain", "widths": [4]}
BATCH = 16
VIEWS = (1, 3)  # labelled, of which the difference is what a view takes
STANDARD = {**PRESETS["standard"]}


def measure(folder: Path, tiny: bool) -> list[Figure]:
    """Of each kind of file.

    Raises:
        UserError: timm is not installed.
    """
    try:
        import timm as _  # noqa: F401
    except ImportError:
        raise UserError("the benchmark `job` needs timm: pip install timm") from None
    found: list[Figure] = []
    for kind in TINY if tiny else KINDS:
        with feed.on_a_core():
            found += _job(kind, folder / kind.name, 16 if tiny else 224, tiny)
    return found


def _job(kind: feed.Photographs, folder: Path, edge: int, tiny: bool) -> list[Figure]:
    root, now = folder / "photographs", clock()
    store.generate(root, kind.count, kind.size)
    asked = Data(source="imagefolder", size=edge, storage="encoded", per_class=None, validation=0.1, test=0.1)
    began = now()
    prepare(asked, root, 0, folder / "data", keeping=Keeping(threads=1))
    preparing = (now() - began) / kind.count
    data, on = prepared.read(folder / "data"), world.device("float32", memory_format="channels_last")
    teacher = world.network(data, SMALL if tiny else TEACHER, on)
    steps = len(data.train) // BATCH
    rounds = 1 if tiny else 3
    arms: dict[str, Unit] = {
        **{
            f"labelling {views} views": partial(_label, data, on.forward(teacher), folder, itertools.count(), on, views)
            for views in VIEWS
        },
        "a step from the store": _ours(data, teacher, folder / "stored", on, SMALL if tiny else STUDENT),
        "a step of timm": _timm(data, root, teacher, steps, edge, on, SMALL if tiny else STUDENT),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # timm's data set leaves its files open
        seconds = interleaved(arms, rounds)
        gc.collect()
    spent = {arm: median(each) for arm, each in seconds.items()}
    few, many = (spent[f"labelling {views} views"] for views in VIEWS)
    # A stage begins once, however many views and images there are.
    a_view = (many - few) / (VIEWS[1] - VIEWS[0])
    beginning = max(0.0, few - (VIEWS[0] + 1) * a_view)  # the clean one is labelled, too
    of = {
        "labelling a view": a_view / len(data.train),
        "a step from the store": spent["a step from the store"] / len(data.train),
        "a step of timm": spent["a step of timm"] / (steps * BATCH),
    }
    found = [Figure(f"{kind.name}: preparing", 1000 * preparing, unit=" ms an image")]
    found += [Figure(f"{kind.name}: {arm}", 1000 * each, unit=" ms an image") for arm, each in of.items()]
    once = IMAGES * (preparing + (EPOCHS + 1) * of["labelling a view"]) + beginning
    trained, theirs = IMAGES * EPOCHS * of["a step from the store"], IMAGES * EPOCHS * of["a step of timm"]
    name = f"{kind.name}: timm ÷ ours, {IMAGES:,} photographs, {EPOCHS} epochs"
    goal = kind.goal or None
    note = f"{theirs / 3600:.2f} h of a core against {(once + trained) / 3600:.2f}."
    found.append(Figure(name, theirs / (once + trained), goal=goal, most=False, note=note))
    found.append(Figure(f"{name}, three students", 3 * theirs / (once + 3 * trained)))
    return found


def _label(data: Prepared, forward: Forward, folder: Path, number: Iterator[int], on: Device, count: int) -> None:
    """So many views of all, and the clean one; in a folder of its own, as what is there is not labelled again."""
    where = folder / f"labels {next(number)}"
    world.labels(data, forward, where, on, views=Views(**STANDARD).model_dump(), count=count, batch=BATCH)


def _ours(data: Prepared, teacher: nn.Module, folder: Path, on: Device, network: dict[str, Any]) -> Unit:
    views = Views(**STANDARD).model_dump()
    labels = world.labels(data, on.forward(teacher), folder, on, views=views, count=1, batch=BATCH)
    of = world.training(data, network, world.SOFT, StoredLabels(labels, on), batch=BATCH, views=views, on=on)
    return world.epochs(of).__next__


def _timm(
    data: Prepared, root: Path, teacher: nn.Module, steps: int, edge: int, on: Device, network: dict[str, Any]
) -> Unit:
    student = world.network(data, network, on).train().requires_grad_(True)
    step = distilled_by_timm(data, teacher, student, on)
    loader = feed.timm_loader(root, edge, STANDARD["brightness"], BATCH)
    assert loader is not None

    def epoch() -> None:
        for x_BCHW, y_B in feed.several(loader, steps):
            step(x_BCHW, y_B)

    return epoch
