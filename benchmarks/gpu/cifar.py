"""CIFAR-10 (JPEG): a wide ResNet trained by us and by twenty lines of plain torch, seconds and accuracy of both."""

import math
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import world
from benchmarks.gpu.finding import Check, Finding, of_figure
from benchmarks.gpu.setting import Setting
from benchmarks.measure import Figure, clock
from pipeline.config.data import Data
from pipeline.data import prepared
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.evaluation.metrics import accuracy
from pipeline.models.build import build
from pipeline.training.device import Device
from pipeline.training.export import Inference
from pipeline.training.loop import Training
from pipeline.training.teacher import NoTeacher

VIEWS = {"shift": 4, "flip": True, "scale": 1.0}
LR, MOMENTUM, DECAY, WARMUP = 0.2, 0.9, 5e-4, 0.2
SHARE = 0.4  # of the time that is left: what one of the two trainings may take
POINTS = 2.0  # of accuracy: two runs of the same training on so few epochs are up to one apart


def cifar(setting: Setting) -> Iterator[Check]:
    """Prepared by us, then trained by both."""
    if setting.cifar is None:
        sentence = "No --data: it takes a folder of CIFAR-10's images."
        yield Check("CIFAR-10 (JPEG)", lambda: [Finding("CIFAR-10 (JPEG)", sentence=sentence)])
        return
    yield Check("CIFAR-10 (JPEG)", partial(_cifar, setting))


def _cifar(setting: Setting) -> Iterator[Finding]:
    assert setting.cifar is not None
    began = time.perf_counter()
    asked = Data(source="imagefolder", per_class=setting.sizes.per_class, validation=0.02, test=0.2)
    prepare(asked, setting.cifar, 0, setting.folder / "cifar")
    data = prepared.read(setting.folder / "cifar")
    note = f"{len(data.train):,} images to train with, {len(data.test):,} to test."
    yield Finding("CIFAR-10 (JPEG): prepared", time.perf_counter() - began, " s", sentence=note)
    on = setting.device("bfloat16")
    epochs = affordable(setting, _epoch_seconds(setting, data, on))
    now, found = clock(), {}
    for name, train in (("ours", _ours), ("plain torch", _plain)):
        began = now()
        model = train(setting, data, on, epochs)
        seconds = now() - began
        z_NC = Inference(on, model.eval(), data).predict("test")
        reached = 100 * accuracy(z_NC, torch.from_numpy(np.array(data.test.labels)))
        found[name] = seconds, reached
        title = f"WRN-{'-'.join(map(str, setting.sizes.wide))}, {epochs} epochs, {name}"
        yield Finding(f"{title}: seconds", seconds, " s")
        yield Finding(f"{title}: test accuracy", reached, " %")
    (seconds, reached), (plain_seconds, plain_reached) = found["ours"], found["plain torch"]
    yield of_figure(Figure("seconds, ours ÷ plain torch", seconds / plain_seconds, goal=setting.goal(1.1)))
    lost, goal = plain_reached - reached, setting.goal(POINTS)
    yield of_figure(Figure("points lost to plain torch", lost, unit=" points", goal=goal))


def affordable(setting: Setting, seconds: float) -> int:
    """Epochs that either training has: as many as the time allows, up to those that were planned."""
    return max(1, int(min(setting.sizes.wide_epochs, SHARE * setting.left() / seconds)))


def _architecture(setting: Setting) -> dict[str, Any]:
    depth, widen = setting.sizes.wide
    return {"family": "wide", "depth": depth, "widen": widen}


def _training(setting: Setting, data: Prepared, on: Device, epochs: int) -> Training:
    recipe = {"epochs": epochs, "batch_size": setting.sizes.wide_batch, "lr": LR, "momentum": MOMENTUM}
    recipe |= {"weight_decay": DECAY, "warmup": WARMUP}
    spec = world.settings(_architecture(setting), {"cross_entropy": {"weight": 1.0}}, recipe, VIEWS)
    return Training(spec, data, NoTeacher(), on)


def _epoch_seconds(setting: Setting, data: Prepared, on: Device) -> float:
    """Of an epoch of ours, by ten of its steps once it is warm."""
    of = _training(setting, data, on, 1)
    steps, now = of.epoch(), clock()
    count = sum(1 for _ in zip(range(3), steps, strict=False))
    began = now()
    count = sum(1 for _ in zip(range(10), steps, strict=False)) or count
    return (now() - began) / count * of.steps + 1e-3


def _ours(setting: Setting, data: Prepared, on: Device, epochs: int) -> nn.Module:
    of = _training(setting, data, on, epochs)
    for _ in range(epochs):
        for _ in of.epoch():
            pass
        of.at.epoch += 1
    return of.model


def _plain(setting: Setting, data: Prepared, on: Device, epochs: int) -> nn.Module:
    """As one writes it by hand, with the same network, recipe and kind of views."""
    torch.manual_seed(0)
    model = on.place(build(_architecture(setting), channels=data.channels, size=data.size, classes=len(data.classes)))
    x_NCHW = torch.from_numpy(np.array(data.train.images)).to(on.where)
    mean_C, std_C = (torch.tensor(each, device=on.where).view(-1, 1, 1) for each in (data.mean, data.std))
    y_N = torch.from_numpy(np.array(data.train.labels)).to(on.where)
    optimizer = torch.optim.SGD(model.parameters(), LR, MOMENTUM, weight_decay=DECAY, nesterov=True, fused=True)
    batch = setting.sizes.wide_batch
    steps = epochs * math.ceil(len(y_N) / batch)
    warm = max(1, round(WARMUP * steps))
    waves = [0.5 + 0.5 * math.cos(math.pi * max(0, k - warm) / max(1, steps - warm)) for k in range(steps)]
    rates = [LR * min((k + 1) / warm, wave) for k, wave in enumerate(waves)]
    for epoch in range(epochs):
        padded_NCHW = F.pad(x_NCHW, (4, 4, 4, 4))
        for k, rows_B in enumerate(torch.randperm(len(y_N), device=on.where).split(batch), epoch * steps // epochs):
            x_BCHW = on.layout((cropped(padded_NCHW, rows_B, data.size) / 255 - mean_C) / std_C)
            with on.computing():
                z_BC = model(x_BCHW)
            optimizer.param_groups[0]["lr"] = rates[k]
            optimizer.zero_grad()
            F.cross_entropy(z_BC.float(), y_N[rows_B]).backward()
            optimizer.step()
    return model


def cropped(padded_NCHW: Tensor, rows_B: Tensor, size: int) -> Tensor:
    """Those images, each cut at a place of its own, half of them mirrored."""
    count, where = len(rows_B), padded_NCHW.device
    top_B1, left_B1 = torch.randint(0, padded_NCHW.shape[-1] - size + 1, (2, count, 1), device=where)
    span = torch.arange(size, device=where)
    columns_BW = left_B1 + torch.where(torch.rand(count, 1, device=where) < 0.5, span, span.flip(0))
    rows_BH = top_B1 + span
    cut_BHWC = padded_NCHW[rows_B[:, None, None], :, rows_BH[:, :, None], columns_BW[:, None, :]]
    return cut_BHWC.permute(0, 3, 1, 2).float()
