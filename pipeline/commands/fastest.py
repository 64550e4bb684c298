"""Which precision and memory layout train teacher and student of params.yaml fastest here, by a few steps of each.

One pair for the whole graph: labels of one precision belong to a student of the same. What is slower on one machine is
faster on another, and not the same for each network.

Legend: B batch, C channels, H = W edge in pixels.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import DATA
from pipeline.config import params
from pipeline.config.edited import differences, edited
from pipeline.config.yaml import flatten, parse, read_yaml
from pipeline.data.prepared import HEADER, read_header
from pipeline.models.build import build as network
from pipeline.models.build import unsupplied
from pipeline.planning import graph
from pipeline.planning.build import build
from pipeline.planning.specs.machine import MachineSpec
from pipeline.planning.specs.training import TrainSpec
from pipeline.training.device import Device, choose

PARAMS = Path("params.yaml")
NODES = ("teacher", "student")
PRECISIONS = {"cpu": ("float32", "bfloat16"), "cuda": ("float32", "tf32", "bfloat16")}
LAYOUTS = ("contiguous", "channels_last")
SIZES = {"cpu": 4, "cuda": 32}  # of a batch; images are of noise
EDGE, CLASSES = 32, 10  # as long as nothing is known of the images
STEPS = 3  # timed, after one that is not
HOPELESS = 2.0  # times the best so far, after which a way is not looked at further
BETTER = 0.95  # of the time of what params.yaml has: less is noise


@dataclass(frozen=True)
class Way:
    """A precision and a memory layout.

    Attributes:
        seconds: Of a training step, an image, of each network; nan where it was not looked at to its end.
        total: Of all epochs of all networks, an image.
    """

    precision: str
    layout: str
    seconds: Mapping[str, float]
    total: float


def ways(log: Callable[[str], None]) -> list[Way]:
    """All ways that this device has, the first one float32 as torch lays out images.

    Raises:
        UserError: params.yaml trains neither a teacher nor a student, or cannot be read.
    """
    read = params.read(PARAMS)
    specs = build(read, graph.read(Path("dvc.yaml")))
    trained = {name: spec for name in NODES if isinstance(spec := specs.get(name), TrainSpec) and not spec.weights}
    if not trained:
        raise UserError("params.yaml trains neither a teacher nor a student: there is nothing to measure")
    machine = specs["machine"]
    assert isinstance(machine, MachineSpec)
    images = _images(read)
    kind = choose(machine, "float32").where.type
    found: list[Way] = []
    for precision in PRECISIONS.get(kind, ("float32",)):
        for layout in LAYOUTS:
            on = choose(_with(machine, layout), precision)
            best = min((way.total for way in found), default=float("inf"))
            found.append(_way(trained, images, on, precision, layout, best))
            log(f"fastest: {_words(found[-1])}")
    return found


def fastest(found: Sequence[Way], precision: str, layout: str) -> Way:
    """The one that takes least; what params.yaml has, where that takes hardly more."""
    best = min(found, key=lambda way: way.total)
    for way in found:
        if (way.precision, way.layout) == (precision, layout) and best.total > BETTER * way.total:
            return way
    return best


def table(found: Sequence[Way]) -> list[tuple[str, ...]]:
    """Cells, header first."""
    names = [*found[0].seconds]
    rows: list[tuple[str, ...]] = [
        ("precision", "memory_format", *(f"{name}, ms an image" for name in names), "1,000 images, minutes")
    ]
    for way in found:
        steps = ("" if math.isnan(way.seconds[name]) else f"{1000 * way.seconds[name]:.1f}" for name in names)
        whole = "slower" if math.isinf(way.total) else f"{1000 * way.total / 60:.0f}"
        rows.append((way.precision, way.layout, *steps, whole))
    return rows


def write(way: Way) -> list[tuple[str, str, str]]:
    """Write it into params.yaml; key, old and new value of what changes."""

    def change(content: Any) -> None:
        content["machine"] |= {"precision": way.precision, "memory_format": way.layout}

    before = read_yaml(PARAMS)
    text = edited(PARAMS.read_text(), change)
    after = parse(text, PARAMS.name)
    params.check(after, PARAMS.name)
    files.write_text(PARAMS, text)
    return differences(flatten(before), flatten(after))


def _with(machine: MachineSpec, layout: str) -> MachineSpec:
    return MachineSpec(**{**machine.as_json(), "memory_format": layout})


def _images(read: params.Params) -> dict[str, int]:
    """Channels, edge and classes: of the prepared images, where they are of that source, else as params.yaml asks."""
    data = read.data
    asked = {"channels": 1 if data.grayscale else 3, "size": data.size or EDGE, "classes": CLASSES}
    if not (DATA / HEADER).exists():
        return asked
    header = read_header(DATA)
    _, channels, size, _ = header.shapes["train"]
    if header.source != data.source or data.size not in (None, size):
        return asked
    return {"channels": channels, "size": size, "classes": len(header.classes)}


def _way(
    trained: Mapping[str, TrainSpec], images: Mapping[str, int], on: Device, precision: str, layout: str, best: float
) -> Way:
    seconds = dict.fromkeys(trained, float("nan"))
    total = 0.0
    for name, spec in trained.items():
        training = spec.training
        supplied = {**images, "size": int((training.input or {}).get("size", images["size"]))}
        epochs = training.recipe["epochs"]
        taken: list[float] = []
        for each in _steps(training.architecture or {}, supplied, on):
            taken.append(each)
            if total + epochs * each > HOPELESS * best:
                return Way(precision, layout, seconds, float("inf"))
        seconds[name] = min(taken)  # others on the machine can only add to it
        total += epochs * seconds[name]
    return Way(precision, layout, seconds, total)


def _steps(architecture: Mapping[str, Any], supplied: Mapping[str, int], on: Device) -> Iterator[float]:
    """Seconds an image of one supervised step after the other; the first is not among them."""
    torch.manual_seed(0)
    batch = SIZES.get(on.where.type, SIZES["cpu"])
    model = on.place(network(unsupplied(architecture), **supplied)).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    x_BCHW = on.layout(torch.randn(batch, supplied["channels"], *[supplied["size"]] * 2, device=on.where))
    y_B = torch.randint(0, supplied["classes"], (batch,), device=on.where)
    for step in range(STEPS + 1):
        started = time.perf_counter()
        with on.computing():
            z_BC = model(x_BCHW)
        F.cross_entropy(z_BC.float(), y_B).backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds = on.seconds_since(started) / batch
        if step:
            yield seconds


def _words(way: Way) -> str:
    if math.isinf(way.total):
        return f"{way.precision}, {way.layout}: more than {HOPELESS:g} times the best so far"
    return f"{way.precision}, {way.layout}: 1,000 images in about {1000 * way.total / 60:.0f} min"
