"""For every operation of a view a stored label is the teacher's answer to the rendered pixels, at the teacher's size.

Legend: N samples, B batch, C channels or classes, S edge of a view.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.config.input import Input
from pipeline.config.views import Views
from pipeline.data.feed import augment_ahead, fed
from pipeline.data.prepared import Prepared, Split
from pipeline.data.rows import Rows
from pipeline.data.views import describe, draw
from pipeline.labels.labeller import forward_fixed, label
from pipeline.labels.layout import Format
from pipeline.labels.store import Labels, open_labels
from pipeline.models.shown import Shown, resized
from tests.data.pictures import stored
from tests.data.test_pictures import alone

CPU = torch.device("cpu")
COUNT, EDGE, CLASSES, BATCH, SEED = 23, 16, 10, 8, 3
SIZES = [(40 + 3 * row, 30 + row % 7) if row % 2 else (24 + row % 5, 31 + 2 * row) for row in range(COUNT)]
LARGE = Input(22, (0.5, 0.4, 0.3), (0.3, 0.2, 0.25), "squash", 0.1)
SMALL = Input(9, (0.5, 0.4, 0.3), (0.3, 0.2, 0.25))
OPERATIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "shift": {"shift": 3},
    "flip": {"flip": True},
    "crop": {"scale": 0.2},
    "crop of any ratio": {"scale": 0.2, "ratio": 1.5},
    "brightness": {"brightness": 0.4},
    "contrast": {"contrast": 0.4},
    "saturation": {"saturation": 0.4},
    "hue": {"hue": 0.2},
    "trivial augment": {"trivial_augment": True},
    "erasing": {"erasing": 0.8},
    "mixup": {"mixup": 0.4},
    "cutmix": {"cutmix": 1.0},
    "all": {"preset": "strong", "shift": 2, "hue": 0.1, "contrast": 0.3, "mixup": 0.4, "cutmix": 1.0},
}


@pytest.fixture(scope="module", params=["encoded", "pixels"])
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    images = stored(tmp_path_factory.mktemp("renderings") / "shards", SIZES, EDGE)
    split = Split(images if request.param == "encoded" else np.array(images), np.zeros(COUNT, dtype=np.int64))
    classes = tuple("abcdefghij")
    return Prepared(split, split, split, split.labels, classes, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), 3, EDGE, "d" * 64)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(1)
    body = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, CLASSES)]
    return nn.Sequential(*body).eval()


def labelled(folder: Path, net: nn.Module, data: Prepared, views: Views, *inputs: Input | None) -> Labels:
    """By the mean of the network's answers, as it is fed each of these inputs."""
    shown = Shown(inputs, data.mean, data.std, CPU, data.rendering(None))
    shows = [shown.to(each) for each in inputs]
    for each in (folder / "labels", folder / "parts"):
        each.mkdir()
    recorded = label(
        lambda x_BCHW: torch.stack([net(show(x_BCHW)) for show in shows]).mean(0),
        fed(data.train.images, shown.renderings, CPU, 0),
        data,
        views,
        SEED,
        "labels",
        1,
        batch_size=BATCH,
        format=Format("dense", "float32"),
        folder=folder / "labels",
        parts=folder / "parts",
        device=CPU,
        teacher="teacher",
        teacher_hash="t" * 64,
        shown=shown,
        input=inputs[0],
    )
    spec = describe(views, SEED, "labels", COUNT, data.renderer)
    return open_labels(folder / "labels", recorded=recorded, data_hash=data.hash, views=spec, classes=data.classes)


def pixels(data: Prepared, views: Views, input: Input, v: int) -> Tensor:
    """The pixels 0 .. 1 of view `v` as a network of that input is shown them, (N, C, S, S), one by one."""
    if (rendering := data.rendering(input)) is not None:
        images: Any = data.train.images
        return alone(images, views, images.sizes[:, 0] / images.sizes[:, 1], rendering, v) / 255
    drawn, ones = draw(views, SEED, "labels", v, COUNT, EDGE), Rows.on(CPU, np.arange(COUNT)).split(1)
    zero_C, one_C = torch.zeros(3), torch.ones(3)
    x_NCHW = torch.cat([*augment_ahead(fed(data.train.images, (), CPU, 0), drawn, ones, zero_C, one_C, 0)])
    return resized(x_NCHW, input.size)


@pytest.mark.parametrize("input", [None, LARGE, SMALL], ids=["own", "large", "small"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_stored_label_is_the_answer_to_the_rendered_pixels(
    tmp_path: Path, net: nn.Module, data: Prepared, operation: str, input: Input | None
) -> None:
    views = Views(**OPERATIONS[operation])
    labels = labelled(tmp_path, net, data, views, input)
    of = input or Input(EDGE, data.mean, data.std)
    mean_C, std_C = (torch.tensor(each)[:, None, None] for each in (of.mean, of.std))
    for v in (0, 1):
        x_NCSS = (pixels(data, views, of, v) - mean_C) / std_C
        assert x_NCSS.shape == (COUNT, 3, of.size, of.size)
        with torch.no_grad():
            assert torch.equal(labels.view(v), forward_fixed(net, x_NCSS, BATCH))
    assert torch.equal(labels.view(0), labels.view(1)) == (operation == "none")


def test_members_of_unlike_sizes_answer_the_same_mixed_crop(tmp_path: Path, net: nn.Module, data: Prepared) -> None:
    """As an ensemble labels: each member is shown the view at its own size."""
    views, inputs = Views(**OPERATIONS["all"]), (None, LARGE, SMALL)
    labels, answers = labelled(tmp_path, net, data, views, *inputs), []
    for input in inputs:
        of = input or Input(EDGE, data.mean, data.std)
        mean_C, std_C = (torch.tensor(each)[:, None, None] for each in (of.mean, of.std))
        with torch.no_grad():
            answers.append(forward_fixed(net, (pixels(data, views, of, 1) - mean_C) / std_C, BATCH))
    assert torch.equal(labels.view(1), torch.stack(answers).mean(0))


def test_labels_are_bound_to_what_decodes_and_resizes(tmp_path: Path, net: nn.Module, data: Prepared) -> None:
    views = Views(flip=True)
    labels = labelled(tmp_path, net, data, views, None)
    encoded = data.renderer is not None
    assert ("renderer" in labels.header.view_spec) == encoded
    if not encoded:
        return
    assert labels.header.view_spec["renderer"]["pillow"]
    other = describe(views, SEED, "labels", COUNT, {**(data.renderer or {}), "pillow": "1.0"})
    with pytest.raises(UserError, match=r"labels other views \(renderer is .*'pillow': '1.0'"):
        open_labels(labels.folder, recorded=labels.hash, data_hash=data.hash, views=other, classes=data.classes)
