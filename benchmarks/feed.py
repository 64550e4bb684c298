"""Photographs at 224 pixels, cropped, flipped and recoloured: from the store, and as others read the same files.

Theirs are torch's DataLoader with torchvision's transforms, and timm's loader with its own; each in this process, so
that seconds are those of a core. Batches end as float32, normalised, without mixing. Files are made (`store.generate`):
of a phone's size, and as data sets have them. What preparing the store costs is measured beside them.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from benchmarks import store, world
from benchmarks.measure import Figure, Unit, clock, interleaved, ratio
from pipeline.config.data import Data
from pipeline.config.views import PRESETS, Views
from pipeline.data import prepared
from pipeline.data.batches import batches, order
from pipeline.data.drawn import Drawn
from pipeline.data.encoded import EncodedImages
from pipeline.data.feed import augment_ahead, fed
from pipeline.data.keeping import Keeping
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.data.rows import Rows
from pipeline.data.views import draw
from pipeline.training.loop import Training

CPU = torch.device("cpu")
STANDARD = PRESETS["standard"]
JITTER = STANDARD["brightness"]
CROPPED = {key: STANDARD[key] for key in ("flip", "scale", "ratio")}
RESNET = {"family": "torchvision", "name": "resnet18"}


@dataclass(frozen=True)
class Photographs:
    """Files of one size. goal: how many times as fast as theirs the store should be."""

    name: str
    size: tuple[int, int]
    count: int
    goal: float


KINDS = (
    Photographs("12 megapixels", (4000, 3000), 40, 20),
    Photographs("3 megapixels", (2048, 1536), 80, 20),
    Photographs("500×375", (500, 375), 200, 1.5),
)
TINY = (Photographs("tiny", (60, 45), 40, 1.5),)
BATCH = 16


def measure(folder: Path, tiny: bool) -> list[Figure]:
    """Every kind of file, the smallest one trained from, too."""
    edge, rounds = (16, 2) if tiny else (224, 5)
    found: list[Figure] = []
    data = None
    for kind in TINY if tiny else KINDS:
        root = folder / kind.name / "photographs"
        store.generate(root, kind.count, kind.size)
        now = clock()
        asked = Data(source="imagefolder", size=edge, storage="encoded", per_class=None, validation=0.1, test=0.1)
        began = now()
        prepare(asked, root, 0, folder / kind.name / "data", keeping=Keeping(threads=1))
        spent = now() - began
        with on_a_core():
            found += _compared(kind, root, prepared.read(folder / kind.name / "data"), edge, rounds, spent)
        data = prepared.read(folder / kind.name / "data")
    assert data is not None
    found.append(_trained(data, edge, rounds, tiny))
    return found


@contextmanager
def on_a_core() -> Iterator[None]:
    """Let this process have one core: several threads wait for each other by computing."""
    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, {min(cores)})
    torch.set_num_threads(1)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)


def _compared(kind: Photographs, root: Path, data: Prepared, edge: int, rounds: int, spent: float) -> Iterator[Figure]:
    """As many whole batches of each loader. spent: seconds that preparing all images took."""
    steps = len(data.train) // BATCH
    for words, jitter in (("cropped, flipped", 0.0), ("with colour jitter", JITTER)):
        views = Views(**CROPPED, brightness=jitter, contrast=jitter, saturation=jitter)
        arms: dict[str, Unit] = {"store": _ours(data, views, steps), "torch": _torch(root, edge, jitter, steps)}
        loader = timm_loader(root, edge, jitter, BATCH)
        if loader is not None:
            arms["timm"] = partial(_read, loader, steps)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # timm's data set leaves its files open
            seconds = interleaved(arms, rounds)
        speed = BATCH * steps / median(seconds["store"])
        yield Figure(f"{kind.name}, {words}: images/s a core", speed)
        for other in ("torch", "timm"):
            name = f"{kind.name}, {words}: {other} ÷ store"
            if other not in seconds:
                yield Figure(name, None, note="timm is not installed.")
                continue
            yield ratio(name, seconds, other, "store", goal=kind.goal, most=False)
        epoch = median(seconds["torch"])
        whole = spent * BATCH * steps / kind.count
        saved = epoch - median(seconds["store"])
        paid = f"paid after {math.ceil(whole / saved)} epochs" if saved > 0 else "never paid"
        note = f"{1000 * spent / kind.count:.1f} ms an image; {paid}."
        yield Figure(f"{kind.name}, {words}: preparing ÷ an epoch of torch", whole / epoch, note=note)


def _ours(data: Prepared, views: Views, steps: int) -> Unit:
    """Batches from the store: pictures are decoded each time."""
    images = data.train.images
    assert isinstance(images, EncodedImages)
    rendering = data.rendering(None)
    assert rendering is not None
    of = fed(images, [rendering], CPU, 0)
    mean_C, std_C = torch.tensor(data.mean), torch.tensor(data.std)
    rows = [Rows.on(CPU, rows_B) for rows_B in batches(order(0, 0, len(data.train))[: BATCH * steps], BATCH)]
    drawn: Drawn = draw(views, 0, world.FIRST, 1, len(data.train), data.size, data.train.aspect_N)

    def epoch() -> None:
        for _ in augment_ahead(of, drawn, rows, mean_C, std_C):
            pass

    return epoch


def _torch(root: Path, edge: int, jitter: float, steps: int) -> Unit:
    """As many of the same files by torch's DataLoader."""
    changes: list[Any] = [transforms.RandomResizedCrop(edge), transforms.RandomHorizontalFlip()]
    changes += [transforms.ColorJitter(jitter, jitter, jitter)] if jitter else []
    normal = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    files = datasets.ImageFolder(str(root), transforms.Compose([*changes, transforms.ToTensor(), normal]))
    return partial(_read, DataLoader(files, BATCH, shuffle=True, drop_last=True), steps)


def timm_loader(root: Path, edge: int, jitter: float, batch: int) -> Iterable[Any] | None:
    """timm's, of those files; None where it is not installed."""
    try:
        from timm.data.dataset_factory import create_dataset
        from timm.data.loader import create_loader
    except ImportError:
        return None
    files: Any = create_dataset("", root=str(root), is_training=True)
    return create_loader(
        files,
        input_size=(3, edge, edge),
        batch_size=batch,
        is_training=True,
        use_prefetcher=False,
        color_jitter=jitter,
        interpolation="bilinear",
        num_workers=0,
        device=CPU,
    )


def _read(loader: Iterable[Any], steps: int) -> None:
    for _ in several(loader, steps):
        pass


def several(loader: Iterable[Any], steps: int) -> Iterator[Any]:
    """So many batches, of as many epochs as that needs."""
    left = steps
    while left:
        for _, batch in zip(range(left), loader, strict=False):
            yield batch
            left -= 1


def _trained(data: Prepared, edge: int, rounds: int, tiny: bool) -> Figure:
    """An epoch of ResNet-18 fed from the store over the same one whose batches are in memory."""
    network = {"family": "plain", "widths": [4]} if tiny else RESNET
    views = Views(**STANDARD).model_dump()
    make: Callable[..., Training] = partial(world.training, data, network, batch=BATCH, views=views)
    arms = {"store": world.epochs(make()).__next__, "memory": world.epochs(make(kind=world.Remembered)).__next__}
    return ratio(
        f"ResNet-18 at {edge}: fed from the store ÷ from memory", interleaved(arms, rounds), "store", "memory", goal=1.1
    )
