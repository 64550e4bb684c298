"""Logits of a real network of 1,000 classes: EfficientNet-Lite0 with ImageNet's weights, on random crops of images.

They are kept in a folder, as forward passes take nearly all of the time; what is there is not computed again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.pretrained import NAME
from pipeline.base.errors import UserError

SIZE, BATCH = 224, 32
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")  # that Pillow reads by itself
LEAST = 0.35  # of an image's area, in a crop


@dataclass(frozen=True)
class Crops:
    """Which images, and how many crops of each."""

    paths: tuple[Path, ...]
    crops: int
    seed: int


def images(folder: Path, count: int, first: int = 0) -> tuple[Path, ...]:
    """`count` images of an image folder, as many of each class, after the `first` ones, counted alike.

    Raises:
        UserError: There are none.
    """
    classes = [each for each in sorted(folder.iterdir()) if each.is_dir()] if folder.is_dir() else []
    of_class, start = (-(-each // max(len(classes), 1)) for each in (count, first))
    found = [
        path
        for each in classes
        for path in [path for path in sorted(each.iterdir()) if path.suffix.lower() in SUFFIXES][start:][:of_class]
    ]
    if not found:
        raise UserError(f"{folder} has no images in folders of classes: name an image folder")
    return tuple(found)


def logits(crops: Crops, weights: Path, kept: Path, log: Callable[[str], None]) -> Tensor:
    """Float32 logits (N, 1000): all crops of the first image, then of the second, and so on.

    Raises:
        UserError: There are no such weights, or timm is missing.
    """
    if kept.exists():
        return torch.from_numpy(np.load(kept))
    forward = _network(weights)
    done = []
    with torch.inference_mode():
        for number, x_BCHW in enumerate(_batches(crops)):
            done.append(forward(x_BCHW))
            if number % 10 == 9:
                log(f"{kept.stem}: {(number + 1) * BATCH:,} of {len(crops.paths) * crops.crops:,} crops")
    np.save(kept, torch.cat(done).numpy())
    return torch.cat(done)


def _network(weights: Path) -> torch.nn.Module:
    try:
        import timm
    except ImportError:
        raise UserError("this benchmark needs timm: pip install -e '.[timm]'") from None
    from safetensors.torch import load_file

    if not weights.is_file():
        raise UserError(f"{weights} is missing: name the weights by --weights")
    network = timm.create_model(NAME)
    network.load_state_dict(load_file(weights))
    return network.eval()


def _batches(crops: Crops) -> Iterator[Tensor]:
    """Normalised as the weights expect it."""
    from PIL import Image

    drawn = np.random.default_rng(crops.seed)
    waiting = []
    for path in crops.paths:
        with Image.open(path) as file:
            image = file.convert("RGB")
        for _ in range(crops.crops):
            share = np.sqrt(drawn.uniform(LEAST, 1))
            width, height = share * image.width, share * image.height
            left, top = drawn.uniform(0, image.width - width), drawn.uniform(0, image.height - height)
            box = (left, top, left + width, top + height)
            crop = np.array(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box))
            waiting.append(crop[:, ::-1].copy() if drawn.random() < 0.5 else crop)
            if len(waiting) == BATCH:
                yield _normalised(waiting)
                waiting = []
    if waiting:
        yield _normalised(waiting)


def _normalised(crops: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float().div(127.5).sub(1)
