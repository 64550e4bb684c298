"""torchdistill and timm as their documentation has them, with the same networks and images, against ours.

Both run the teacher at each step, behind a data loader of images that are augmented one by one (crop and flip, as
ours). Theirs is live teaching because it is what they offer for augmented images; ours reads stored labels. Loaders
work in the process, so that what they compute is counted.
"""

import importlib
import itertools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from benchmarks import world
from benchmarks.measure import Figure, interleaved, ratio
from pipeline.base.errors import UserError
from pipeline.data.prepared import Prepared
from pipeline.training.device import Device
from pipeline.training.teacher import StoredLabels

SGD: dict[str, Any] = {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}
OTHERS = ("torchdistill", "timm")
PRECISIONS = ("float32", "bfloat16")
STUDENT = {"family": "residual", "depth": 20, "width": 16}


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """The training images as torchvision's data sets have them: PIL, transformed one by one."""

    def __init__(self, data: Prepared) -> None:
        from torchvision import transforms

        self.images = [Image.fromarray(image_CHW.transpose(1, 2, 0)) for image_CHW in data.train.images]
        self.labels = data.train.labels.tolist()
        light = [transforms.RandomCrop(data.size, padding=4), transforms.RandomHorizontalFlip()]
        norm = transforms.Normalize(data.mean, data.std)
        self.transform: Any = transforms.Compose([*light, transforms.ToTensor(), norm])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images[row]), self.labels[row]


def measure(folder: Path, tiny: bool) -> list[Figure]:
    """Seconds of an epoch of theirs over one of ours, ResNet-110 and -56 to ResNet-20, each type for all."""
    try:
        versions = ", ".join(f"{name} {importlib.import_module(name).__version__}" for name in OTHERS)
    except ImportError as error:
        raise UserError(
            f"the benchmark `others` needs {error.name}: pip install --no-deps torchdistill timm, "
            "into a folder that PYTHONPATH names"
        ) from None
    logging.disable(logging.WARNING)
    batch, depths, rounds = (4, (8,), 1) if tiny else (128, (110, 56), 7)
    data = world.images(folder, batch)
    found = []
    for depth, precision in itertools.product(depths, PRECISIONS):
        on = world.device(precision)
        teacher = world.network(data, {"family": "residual", "depth": depth, "width": 16}, on)
        where = folder / f"{depth} {precision}"
        stored = StoredLabels(world.labels(data, on.forward(teacher), where, on, count=1, batch=batch), on)
        arms = {
            "ours": world.epochs(world.training(data, STUDENT, world.SOFT, stored, batch=batch, on=on)).__next__,
            "torchdistill": with_torchdistill(data, teacher, student(data, on), batch, on),
            "timm": with_timm(data, teacher, student(data, on), batch, on),
        }
        seconds = interleaved(arms, rounds)
        found += [
            ratio(
                f"ResNet-{depth}→20, {precision}: {name} ÷ ours",
                seconds,
                name,
                "ours",
                goal=5,
                most=False,
                note=versions,
            )
            for name in OTHERS
        ]
    return found


def student(data: Prepared, on: Device) -> nn.Module:
    """A fresh student."""
    return world.network(data, STUDENT, on).train().requires_grad_(True)


def with_torchdistill(
    data: Prepared, teacher: nn.Module, student: nn.Module, batch: int, on: Device
) -> Callable[[], None]:
    """An epoch as in its image classification example, with the configuration of its CIFAR samples."""
    kd = {
        **{f"{who}_module_path": "." for who in ("student", "teacher")},
        **{f"{who}_module_io": "output" for who in ("student", "teacher")},
        "temperature": 4.0,
        "alpha": 0.1,
        "reduction": "batchmean",
    }
    config = {
        "num_epochs": 1_000_000,
        "train_data_loader": {
            "dataset_id": "train",
            "sampler": {"class_or_func": RandomSampler},
            "kwargs": {"batch_size": batch, "num_workers": 0},
        },
        "teacher": {"forward_proc": "forward_batch_only", "requires_grad": False},
        "student": {"forward_proc": "forward_batch_only", "requires_grad": True},
        "optimizer": {"key": "SGD", "kwargs": dict(SGD)},
        "criterion": {
            "key": "WeightedSumLoss",
            "kwargs": {"sub_terms": {"kd": {"criterion": {"key": "KDLoss", "kwargs": kd}, "weight": 1.0}}},
        },
    }
    make = importlib.import_module("torchdistill.core.distillation").get_distillation_box
    box = make(teacher, student, {"train": Pictures(data)}, config, on.where, None, False, 1.0)

    def epoch() -> None:
        box.pre_epoch_process(epoch=0)
        for x_BCHW, y_B, supplement in box.train_data_loader:
            with on.computing():
                loss = box.forward_process(on.layout(x_BCHW.to(on.where)), y_B.to(on.where), supplement)
            box.post_forward_process(loss=loss)
            loss.item()  # its metric logger asks at each step

    return epoch


def distilled_by_timm(
    data: Prepared, teacher: nn.Module, student: nn.Module, on: Device
) -> Callable[[torch.Tensor, torch.Tensor], None]:
    """A step as in its train.py with a logit distillation task."""
    for model in (teacher, student):
        described: Any = model
        described.num_classes, described.in_chans = len(data.classes), data.channels
        described.pretrained_cfg = {"mean": data.mean, "std": data.std}
    task = importlib.import_module("timm.task").LogitDistillationTask(
        student_model=student, teacher_model=teacher, criterion=nn.CrossEntropyLoss(), task_loss_weight=0.1,
        temperature=4.0, device=on.where, verbose=False,
    )  # fmt: skip
    kept = {name: SGD[name] for name in ("lr", "momentum", "weight_decay")}
    optimizer = importlib.import_module("timm.optim").create_optimizer_v2(student, opt="sgd", **kept)
    task.train()

    def step(x_BCHW: torch.Tensor, y_B: torch.Tensor) -> None:
        with on.computing():
            loss = task(on.layout(x_BCHW.to(on.where)), y_B.to(on.where))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def with_timm(data: Prepared, teacher: nn.Module, student: nn.Module, batch: int, on: Device) -> Callable[[], None]:
    """An epoch of such steps, on images that its loader augments."""
    step = distilled_by_timm(data, teacher, student, on)
    loader = DataLoader(Pictures(data), batch_size=batch, shuffle=True)

    def epoch() -> None:
        for x_BCHW, y_B in loader:
            step(x_BCHW, y_B)

    return epoch
