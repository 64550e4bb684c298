"""What forms of stored labels lose: KL from the teacher's logits to what is read back, by bytes a row.

On logits of real networks: EfficientNet-Lite0's 1,000 classes on crops of CIFAR-10 (JPEG) and of photographs, every
tenth of those classes, and 100 pairs of digits, by a network trained here. A basis is fitted to other rows than those
that are measured: to crops of other images, of photographs to other crops, of digits to training images.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import topk, world
from benchmarks.answered import Crops, images, logits
from pipeline.base import files
from pipeline.data.batches import Pixels
from pipeline.evaluation.metrics import agreement, kl
from pipeline.labels.basis import Basis, fit
from pipeline.labels.format import decode, encode
from pipeline.labels.labeller import predict
from pipeline.labels.layout import Format, layout, sizes
from pipeline.labels.store import stored

SAMPLE, MEASURED, CROPS = 2500, 1000, 4
# Values kept, and values with components; of 1,000 classes and of 100.
VALUES = {1000: (10, 25, 42, 100), 100: (5, 10, 14, 20)}
COMPONENTS = {1000: ((5, 22), (10, 60), (10, 125), (10, 360)), 100: ((5, 2), (5, 15), (5, 30), (10, 30))}


@dataclass(frozen=True)
class Loss:
    """What one form loses of one set of logits.

    Attributes:
        bytes: Of a row.
        kl_1, kl_4: KL(teacher || read back) at temperatures 1 and 4: nats, mean over rows.
        agreement: Share of rows whose likeliest class is the teacher's.
    """

    logits: str
    rows: int
    form: str
    bytes: int
    kl_1: float
    kl_4: float
    agreement: float


def measure(
    out: Path, data: Path, photographs: Path, weights: Path, work: Path, tiny: bool, log: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Measure each form on each set of logits and write it to `out`.

    data: CIFAR-10 as an image folder, with `train`. work: a folder that keeps the logits.

    Raises:
        UserError: Images or weights are missing.
    """
    work.mkdir(parents=True, exist_ok=True)
    sample, measured = (64, 32) if tiny else (SAMPLE, MEASURED)

    def of(name: str, crops: Crops) -> Tensor:
        return logits(crops, weights, work / f"{name}.npy", log)

    cifar, all_photographs = data / "train", images(photographs, 32 if tiny else 400)
    fitted = {
        "CIFAR-10 (JPEG)": of("cifar.fit", Crops(images(cifar, sample), 1, 0)),
        "photographs": of("photos.fit", Crops(all_photographs, 1 if tiny else CROPS, 0)),
    }
    given = {
        "CIFAR-10 (JPEG)": of("cifar.test", Crops(images(cifar, measured, first=sample), 1, 1)),
        "photographs": of("photos.test", Crops(all_photographs, 1, 1)),
    }
    found = []
    for name, sample_NC in fitted.items():
        found += losses(f"EfficientNet-Lite0, {name}", sample_NC, given[name])
    tenth = [each["CIFAR-10 (JPEG)"][:, ::10] for each in (fitted, given)]
    found += losses("EfficientNet-Lite0, CIFAR-10 (JPEG), every tenth class", *tenth)
    found += losses("pairs of digits", *_digits(work, tiny))
    value = [asdict(each) for each in found]
    files.write_json(out, value)
    return value


def losses(name: str, sample_NC: Tensor, z_NC: Tensor) -> Iterator[Loss]:
    """Of each form, fitted to a sample where it has a basis; float32 logits on the host."""
    classes = z_NC.shape[1]
    for number in ("float32", "float16"):
        yield _loss(name, "dense " + number, z_NC, Format("dense", number))
    for k in VALUES[classes]:
        yield _loss(name, f"top-k, k = {k}", z_NC, Format("topk", "float16", k))
    bases: dict[int, Basis] = {}
    for k, rank in COMPONENTS[classes]:
        if rank not in bases:
            bases[rank] = basis = fit(sample_NC, rank)
            # Components alone, of which no value is kept.
            back_NC = basis.logits(basis.coefficients(z_NC))
            yield _compared(name, f"rank = {rank} alone", rank, z_NC, back_NC)
        format = Format("lowrank", "float16", k, rank)
        yield _loss(name, f"low-rank, k = {k}, rank = {rank}", z_NC, format, bases[rank])


def table(found: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Cells, header first."""
    cells = [("logits", "form", "bytes a row", "KL at 1", "KL at 4", "same class, %")]
    for each in found:
        same = f"{100 * each['agreement']:.1f}"
        numbers = (f"{each['bytes']:,}", f"{each['kl_1']:.2g}", f"{each['kl_4']:.2g}", same)
        cells.append((each["logits"], each["form"], *numbers))
    return cells


def _loss(name: str, form: str, z_NC: Tensor, format: Format, basis: Basis | None = None) -> Loss:
    count, classes = z_NC.shape
    arrays = stored(encode(z_NC, format, basis), format, classes)
    back_NC = decode(arrays, np.arange(count), classes, basis)
    return _compared(name, form, sum(sizes(layout(format, 1, classes)).values()), z_NC, back_NC)


def _compared(name: str, form: str, length: int, z_NC: Tensor, back_NC: Tensor) -> Loss:
    at_1, at_4 = (kl(back_NC.double() / temperature, z_NC.double() / temperature) for temperature in (1, 4))
    return Loss(name, len(z_NC), form, length, at_1, at_4, agreement(back_NC, z_NC))


def _digits(folder: Path, tiny: bool) -> tuple[Tensor, Tensor]:
    """Logits of a network of 100 classes, of training images and of test images."""
    on = world.device()
    train, test, epochs = (256, 128, 1) if tiny else (8_000, 2_000, 15)
    data = topk.pairs(folder, train, test)
    more: dict[str, Any] = {"batch": 128, "views": topk.VIEWS, "on": on, "epochs": epochs, "lr": 0.1}
    teacher = topk.trained(world.training(data, topk.TEACHER, **more))
    mean_C, std_C = (torch.tensor(each, device=on.where) for each in (data.mean, data.std))
    sample_NC, test_NC = (
        predict(on.forward(teacher), Pixels(split.images, on.where, on.room()), mean_C, std_C, batch_size=256).cpu()
        for split in (data.train, data.test)
    )
    return sample_NC[:SAMPLE], test_NC
