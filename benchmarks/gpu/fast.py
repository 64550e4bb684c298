"""What training costs on a GPU, and how much of the GPU it uses: the most important figures first."""

import importlib
import itertools
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks import world
from benchmarks.gpu.finding import Check, Finding, of_figure
from benchmarks.gpu.launches import device_work
from benchmarks.gpu.setting import Setting
from benchmarks.loop import by_hand
from benchmarks.measure import Figure, interleaved, ratio
from benchmarks.others import student, with_timm
from pipeline.config.views import Views
from pipeline.data.pictures import Pictures
from pipeline.data.prepared import Prepared
from pipeline.data.streams import FIRST
from pipeline.data.views import draw
from pipeline.training import replay
from pipeline.training.device import Device
from pipeline.training.loop import Training
from pipeline.training.replay import replayed as replayed_forward
from pipeline.training.state import State
from pipeline.training.teacher import StoredLabels, Teacher

QUICKEST = ("bfloat16", "float32")  # what `auto` takes on a GPU first
IDLE = 0.03  # the most of the time in which the device may wait, for ResNet-18 and larger
ROUNDS = 3  # of what is compared with nothing
SAVE_EVERY = 1.5  # seconds
STOP = 1.0  # seconds that a save may keep the training of ResNet-50 waiting


@dataclass(frozen=True)
class Case:
    """A network at the size of image that it is for."""

    name: str
    architecture: dict[str, Any]
    images: tuple[int, int, int]  # how many, of a batch, pixels
    is_large: bool

    def data(self, setting: Setting) -> Prepared:
        """Random images."""
        count, _, edge = self.images
        return world.images(setting.folder, count, size=edge)

    def training(
        self, setting: Setting, on: Device, objective: dict[str, Any] = world.HARD, teacher: Teacher | None = None
    ) -> Training:
        """Without end."""
        return world.training(self.data(setting), self.architecture, objective, teacher, batch=self.images[1], on=on)


def cases(setting: Setting) -> list[Case]:
    """The networks that are timed: a large one first, then the small ones."""
    sizes = setting.sizes
    large = [Case(name, network, sizes.photos, True) for name, network in sizes.networks.items()]
    small = [
        Case(f"ResNet-{depth}", {"family": "residual", "depth": depth, "width": 16}, (*sizes.small, 32), False)
        for depth in sizes.depths
    ]
    return [large[0], *small, *large[1:]]


def speed(setting: Setting) -> Iterator[Check]:
    """Images a second, kernels a step, and the share of the time in which the device idles."""
    for precision in QUICKEST:
        for case in cases(setting):
            yield Check(f"{case.name}, {precision}", partial(_speed, setting, case, precision))


def _speed(setting: Setting, case: Case, precision: str) -> Iterator[Finding]:
    of = case.training(setting, setting.device(precision))
    rounds = min(ROUNDS, setting.sizes.rounds)
    seconds = median(interleaved({"epoch": world.epochs(of).__next__}, rounds)["epoch"])
    step = seconds / of.steps
    name = f"{case.name}, {precision}"
    yield Finding(f"{name}: images/s", len(of.data.train) / seconds, sentence=f"{1000 * step:.2f} ms a step.")
    if not setting.on_gpu:
        yield Finding(f"{name}: device", sentence="There is no GPU whose work could be counted.")
        return
    work = device_work(of, min(setting.sizes.steps, of.steps - 2))
    if work is None:
        yield Finding(f"{name}: device", sentence="The profiler saw no kernel: it cannot look into this GPU.")
        return
    yield Finding(f"{name}: launches a step", work.launches)
    # The profiler slows the host, not the kernels: their time over that of a step without it.
    idle = max(0.0, 1 - work.busy / step)
    goal = setting.goal(IDLE) if case.is_large else None
    yield of_figure(Figure(f"{name}: share of time idle", idle, goal=goal))


def replayed(setting: Setting) -> Iterator[Check]:
    """An epoch of plain steps over one whose steps are replayed as CUDA graphs."""
    for precision, case in itertools.product(QUICKEST, cases(setting)):
        yield Check(f"{case.name}, {precision}", partial(_replayed, setting, case, precision))


def _replayed(setting: Setting, case: Case, precision: str) -> Iterator[Finding]:
    on = setting.device(precision)
    plain = world.epochs(case.training(setting, on)).__next__

    def without() -> None:
        with patch.object(replay, "MOST", 0):
            plain()

    arms = {"replayed": world.epochs(case.training(setting, on)).__next__, "plain": without}
    seconds = interleaved(arms, min(ROUNDS, setting.sizes.rounds))
    yield of_figure(ratio(f"{case.name}, {precision}: plain ÷ replayed", seconds, "plain", "replayed", most=False))


def stored(setting: Setting) -> Iterator[Check]:
    """An epoch from stored labels over a plain supervised one."""
    for case, precision in itertools.product(cases(setting)[:2], QUICKEST):
        yield Check(f"{case.name}, {precision}", partial(_stored, setting, case, precision))


def _stored(setting: Setting, case: Case, precision: str) -> Iterator[Finding]:
    on, data = setting.device(precision), case.data(setting)
    teacher = on.forward(world.network(data, case.architecture, on))
    where = setting.folder / f"stored {case.name} {precision}"
    stored = StoredLabels(world.labels(data, teacher, where, on, count=1, batch=case.images[1]), on)
    arms = {
        "supervised": world.epochs(case.training(setting, on)).__next__,
        "stored": world.epochs(case.training(setting, on, world.SOFT, stored)).__next__,
    }
    seconds = interleaved(arms, setting.sizes.rounds)
    name = f"{case.name}, {precision}: stored ÷ supervised"
    yield of_figure(ratio(name, seconds, "stored", "supervised", goal=setting.goal(1.02)))


def fed(setting: Setting) -> Iterator[Check]:
    """An epoch whose images are decoded and cut for each step, over one whose batches are in memory."""
    yield Check("ResNet-18, bfloat16", partial(_fed, setting))


def _fed(setting: Setting) -> Iterator[Finding]:
    on, (name, network) = (
        setting.device("bfloat16"),
        [*setting.sizes.networks.items()][min(1, len(setting.sizes.networks) - 1)],
    )
    count, batch, edge = setting.sizes.photos
    data = world.photographs(setting.folder, min(count, 4 * batch), size=edge)
    make = partial(world.training, data, network, batch=batch, on=on, views=Views(preset="standard").model_dump())
    with patch.object(Device, "room", lambda self: 0):  # as of a set larger than the memory: nothing is kept decoded
        of = make()
        assert isinstance(of.images, Pictures)
        rows_N, views = (
            np.arange(len(data.train)),
            draw(of.views, 0, FIRST, 1, len(data.train), edge, data.train.aspect_N),
        )
        arms = {
            "fed": world.epochs(of).__next__,
            "memory": world.epochs(make(kind=world.Remembered)).__next__,
            "decoded and cut": partial(of.images.cut, views, rows_N),
        }
    seconds = interleaved(arms, setting.sizes.rounds)
    for arm in arms:
        yield Finding(f"{name}, bfloat16, {arm}: images/s", len(rows_N) / median(seconds[arm]), "")
    # What the host cannot decode in time no loop feeds in time: the device waits for nothing else.
    for slower in ("memory", "decoded and cut"):
        yield of_figure(ratio(f"{name}, bfloat16: fed ÷ {slower}", seconds, "fed", slower))
    most = max(median(seconds["memory"]), median(seconds["decoded and cut"]))
    yield of_figure(
        Figure(f"{name}, bfloat16: fed ÷ the slower of both", median(seconds["fed"]) / most, goal=setting.goal(1.1))
    )


def loop(setting: Setting) -> Iterator[Check]:
    """Our epoch over one of a bare loop of twenty lines, with ready batches and with batches that it augments."""
    for case, precision in itertools.product(cases(setting)[:2], QUICKEST):
        yield Check(f"{case.name}, {precision}", partial(_loop, setting, case, precision))


def _loop(setting: Setting, case: Case, precision: str) -> Iterator[Finding]:
    on = setting.device(precision)
    arms = {
        "ours": world.epochs(case.training(setting, on)).__next__,
        "ready batches": by_hand(case.training(setting, on), on, augmenting=False),
        "augmenting": by_hand(case.training(setting, on), on, augmenting=True),
    }
    seconds = interleaved(arms, setting.sizes.rounds)
    for below in ("ready batches", "augmenting"):
        name = f"{case.name}, {precision}: ours ÷ {below}"
        yield of_figure(ratio(name, seconds, "ours", below, goal=setting.goal(1.03)))


def labelling(setting: Setting) -> Iterator[Check]:
    """Writing the labels of two views over the bare forward passes."""
    for case in cases(setting)[:2]:
        yield Check(case.name, partial(_labelling, setting, case))


def _labelling(setting: Setting, case: Case) -> Iterator[Finding]:
    on, data, batch = setting.device("bfloat16"), case.data(setting), case.images[1]
    forward = on.forward(world.network(data, case.architecture, on))
    bare = world.forwards(forward, data, batch, on)
    fresh = (setting.folder / f"labelling {case.name} {number}" for number in itertools.count())
    passes = replayed_forward(forward, on.where, "a forward pass")
    arms = {
        "labels": lambda: world.labels(data, passes, next(fresh), on, count=2, batch=batch),
        "forward": lambda: [bare() for _ in range(3)],  # the clean images and two views
    }
    seconds = interleaved(arms, setting.sizes.rounds)
    name = f"{case.name}, bfloat16: labelling ÷ forward"
    yield of_figure(ratio(name, seconds, "labels", "forward", goal=setting.goal(1.05)))


class Counted(State):
    """A state that counts how often it was saved."""

    saves = 0

    def save(self, *parts: Any, **named: Any) -> None:
        super().save(*parts, **named)
        self.saves += 1


def saving(setting: Setting) -> Iterator[Check]:
    """How long a save keeps the training of a large network waiting."""
    yield Check("state of the network and its momentum", partial(_saving, setting))


def _saving(setting: Setting) -> Iterator[Finding]:
    on, sizes = setting.device("bfloat16"), setting.sizes
    count, batch, edge = sizes.photos
    data = world.images(setting.folder, count, size=edge)
    walls, states = [], []
    # The first one warms up; the last save of each is the same for all.
    for every in (1e9, 1e9, SAVE_EVERY if setting.on_gpu else 1e-3):
        of = world.training(data, sizes.saved, batch=batch, on=on, epochs=sizes.save_epochs)
        states.append(Counted(setting.folder / "saving" / str(len(states))))
        states[-1].folder.mkdir(parents=True)
        began = time.perf_counter()
        of.run(states[-1], lambda model: {}, lambda row: None, lambda sentence: None, every)
        walls.append(time.perf_counter() - began)
    saves = states[-1].saves - states[1].saves
    size = states[-1].current.stat().st_size
    if not saves:
        yield Finding("training stands still for a save", sentence="No save was due: the training was too short.")
        return
    still = max(0.0, (walls[2] - walls[1]) / saves)
    note = f"{saves} saves of {size / 1e6:.0f} MB in {walls[2]:.1f} s; without them {walls[1]:.1f} s."
    yield of_figure(Figure("training stands still for a save", still, unit=" s", goal=setting.goal(STOP), note=note))


def timm(setting: Setting) -> Iterator[Check]:
    """An epoch of timm's distillation over ours from stored labels, ResNet-20 under the deeper network."""
    try:
        importlib.import_module("timm.task")
    except ImportError as error:
        finding = Finding("timm ÷ ours", sentence=f"timm is not here, or too old: {error}.")
        yield Check("timm ÷ ours", lambda: [finding])
        return
    for precision in QUICKEST:
        yield Check(f"timm ÷ ours, {precision}", partial(_timm, setting, precision))


def _timm(setting: Setting, precision: str) -> Iterator[Finding]:
    logging.disable(logging.WARNING)
    on = setting.device(precision)
    case, deep = (each for each in cases(setting) if not each.is_large)
    count, batch, edge = case.images
    case = replace(case, images=(min(count, 4 * batch), batch, edge))  # theirs decodes and crops images one by one
    data = case.data(setting)
    teacher = world.network(data, deep.architecture, on)
    where = setting.folder / f"timm {precision}"
    stored = StoredLabels(world.labels(data, on.forward(teacher), where, on, count=1, batch=batch), on)
    arms = {
        "ours": world.epochs(case.training(setting, on, world.SOFT, stored)).__next__,
        "timm": with_timm(data, teacher, student(data, on), batch, on),
    }
    seconds = interleaved(arms, setting.sizes.rounds)
    version = importlib.import_module("timm").__version__
    name = f"{deep.name} → 20, {precision}: timm ÷ ours"
    yield of_figure(ratio(name, seconds, "timm", "ours", goal=setting.goal(5), most=False, note=f"timm {version}."))
