"""CIFAR-10, small photographs of ten kinds of things, by torchvision."""

from pathlib import Path

from pipeline.data import torchvision
from pipeline.data.images import Source

# Keys of `data` that mean nothing here.
WITHOUT = ("test", "group", "unreadable", "background", "storage", "store_size")


def load(root: Path, size: int | None, grayscale: bool, *, download: bool = True) -> Source:
    """Its training and test images; `download` allows to fetch them into `root`."""
    return torchvision.load("cifar10", "CIFAR10", root, size, grayscale, download=download)
