"""Legend: N samples, B batch, C channels or classes, H = W edge in pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.base.passes import BYTES, MOST
from pipeline.config.views import Views
from pipeline.data.batches import Pixels
from pipeline.data.prepared import Prepared, Split
from pipeline.data.views import augment, describe, draw
from pipeline.labels.labeller import (
    ALIVE,
    evaluation_batch,
    forward_fixed,
    label,
    predict,
)
from pipeline.labels.layout import Format
from pipeline.labels.store import Labels, open_labels
from pipeline.models.shown import Shown

CPU = torch.device("cpu")
COUNT, EDGE, CLASSES, BATCH, SEED = 129, 12, 10, 32, 5  # a last batch of one: alone it would get other bits
VIEWS = [Views(shift=2, flip=True), Views(shift=1, flip=True, scale=0.4), Views(preset="strong", hue=0.2)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    images = np.lib.format.open_memmap(
        tmp_path_factory.mktemp("data") / "images.npy", "w+", np.uint8, (COUNT, 3, EDGE, EDGE)
    )
    images[:] = np.random.default_rng(0).integers(0, 256, images.shape)
    split = Split(images, np.zeros(COUNT, dtype=np.int64))
    classes = tuple("abcdefghij")
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    return Prepared(split, split, split, split.labels, classes, mean, std, 3, EDGE, "d" * 64)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 24, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, CLASSES),
    )
    net(torch.randn(64, 3, EDGE, EDGE) * 2)  # batch norm's statistics are not those of a fresh layer
    return net.eval()


def pixels(data: Prepared) -> Pixels:
    return Pixels(data.train.images, CPU, 2**30)


def statistics(data: Prepared) -> tuple[Tensor, Tensor]:
    return torch.tensor(data.mean), torch.tensor(data.std)


def labelled(
    folder: Path, net: nn.Module, data: Prepared, views: Views, format: Format, count: int = 2, stream: str = "labels"
) -> Labels:
    parts = folder.with_name(f"{folder.name} parts")
    for each in (folder, parts):
        each.mkdir(parents=True, exist_ok=True)
    written = label(
        net,
        pixels(data),
        data,
        views,
        SEED,
        stream,
        count,
        batch_size=BATCH,
        format=format,
        folder=folder,
        parts=parts,
        device=CPU,
        teacher="teacher",
        teacher_hash="t" * 64,
        shown=Shown([None], data.mean, data.std, CPU),
    )
    spec = describe(views, SEED, stream, COUNT)
    labels = open_labels(folder, recorded=written, data_hash=data.hash, views=spec, classes=data.classes)
    assert labels.hash == written
    return labels


def shown(data: Prepared, views: Views, v: int, rows_B: Tensor, stream: str = "labels") -> Tensor:
    """The pixels that a student sees of view `v`."""
    drawn = draw(views, SEED, stream, v, COUNT, EDGE)
    return augment(torch.from_numpy(data.train.images[rows_B.numpy()]), drawn, rows_B, *statistics(data))


@pytest.mark.parametrize("views", VIEWS, ids=["exact", "resized", "strong"])
def test_stored_labels_are_bit_for_bit_a_live_teachers_in_any_order(
    tmp_path: Path, net: nn.Module, data: Prepared, views: Views
) -> None:
    labels = labelled(tmp_path, net, data, views, Format("dense", "float32"))
    order_N = torch.from_numpy(np.random.default_rng(3).permutation(COUNT))
    assert COUNT % BATCH != 0
    for v in range(3):
        for rows_B in order_N.split(BATCH):
            with torch.no_grad():
                live_BC = forward_fixed(net, shown(data, views, v, rows_B), BATCH)
            assert torch.equal(labels.rows(v, rows_B), live_BC)


def test_a_student_of_another_batch_size_gets_the_same_bits(tmp_path: Path, net: nn.Module, data: Prepared) -> None:
    labels = labelled(tmp_path, net, data, VIEWS[0], Format("dense", "float32"), count=1)
    for rows_B in torch.arange(COUNT).flip(0).split(2 * BATCH + 7):
        with torch.no_grad():
            live_BC = forward_fixed(net, shown(data, VIEWS[0], 1, rows_B), BATCH)
        assert torch.equal(labels.rows(1, rows_B), live_BC)


def test_each_view_has_its_own_labels_and_view_0_is_clean(tmp_path: Path, net: nn.Module, data: Prepared) -> None:
    labels = labelled(tmp_path, net, data, VIEWS[0], Format("dense", "float32"))
    every_N = torch.arange(COUNT)
    for v in range(3):
        with torch.no_grad():
            direct_NC = net(shown(data, VIEWS[0], v, every_N))
        torch.testing.assert_close(labels.view(v), direct_NC)
    for v, other in ((0, 1), (1, 2)):
        assert not torch.allclose(labels.view(v), labels.view(other), atol=1e-3)
    assert torch.equal(labels.view(0), predict(net, pixels(data), *statistics(data), batch_size=BATCH))


def test_the_labels_of_a_stream_are_those_of_its_crops(tmp_path: Path, net: nn.Module, data: Prepared) -> None:
    labels = labelled(tmp_path, net, data, VIEWS[1], Format("dense", "float32"), stream="labels_2")
    every_N = torch.arange(COUNT)
    with torch.no_grad():
        torch.testing.assert_close(labels.view(1), net(shown(data, VIEWS[1], 1, every_N, "labels_2")))
    assert not torch.allclose(labels.view(1), net(shown(data, VIEWS[1], 1, every_N)).detach(), atol=1e-3)


def test_labelling_twice_gives_equal_bytes_and_changes_nothing(tmp_path: Path, net: nn.Module, data: Prepared) -> None:
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    random = torch.get_rng_state()
    for name in ("one", "two"):
        labelled(tmp_path / name, net, data, VIEWS[1], Format("topk", "float16", 3))
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_bfloat16_answers_lose_nothing_in_float16(tmp_path: Path, net: nn.Module, data: Prepared) -> None:
    class Rounded(nn.Module):
        def forward(self, x_BCHW: Tensor) -> Tensor:
            return net(x_BCHW).bfloat16().float()

    small = labelled(tmp_path / "16", Rounded(), data, VIEWS[0], Format("dense", "float16"))
    large = labelled(tmp_path / "32", Rounded(), data, VIEWS[0], Format("dense", "float32"))
    assert torch.equal(small.view(1), large.view(1))


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 11])
def test_passes_have_one_size_and_answers_are_cut(count: int) -> None:
    sizes = []

    def forward(x_BCHW: Tensor) -> Tensor:
        sizes.append(len(x_BCHW))
        return x_BCHW.flatten(1).sum(1, keepdim=True)

    x_BCHW = torch.arange(count * 6.0).view(count, 1, 2, 3)
    assert torch.equal(forward_fixed(forward, x_BCHW, 4), x_BCHW.flatten(1).sum(1, keepdim=True))
    assert sizes == [4] * -(-count // 4)


def test_predictions_follow_the_rows_and_take_no_gradient(net: nn.Module, data: Prepared) -> None:
    mean_C, std_C = statistics(data)
    found_NC = predict(net, pixels(data), mean_C, std_C, batch_size=64)
    x_NCHW = (torch.from_numpy(data.train.images[:]).float() / 255 - mean_C[:, None, None]) / std_C[:, None, None]
    torch.testing.assert_close(found_NC, net(x_NCHW).detach())
    assert found_NC.dtype == torch.float32
    assert not found_NC.requires_grad


def test_a_broken_teacher_leaves_no_label_set(tmp_path: Path, data: Prepared) -> None:
    broken = nn.Sequential(nn.Flatten(), nn.Linear(3 * EDGE * EDGE, CLASSES))
    nn.init.constant_(broken[1].get_parameter("bias"), float("nan"))
    with pytest.raises(UserError, match="teacher gives row 0 of view 0"):
        labelled(tmp_path, broken, data, VIEWS[0], Format("dense", "float32"))
    assert not (tmp_path / "labels.json").exists()


@pytest.mark.parametrize("edge", [1, 80, 81, 300, 2000])
def test_a_pass_of_predictions_takes_bounded_memory(edge: int) -> None:
    """By what the network makes of one image, and by no more than is needed: the size decides the last bits."""

    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.some = nn.Parameter(torch.zeros(1))

        def forward(self, x_BCHW: Tensor) -> Tensor:
            return x_BCHW.new_zeros(1).expand(1, 27, edge, edge).contiguous().flatten(1)[:, :10]

    batch, image = evaluation_batch(Wide(), 1, 1), ALIVE * 4 * 27 * edge * edge
    assert batch in {2**power for power in range(9)} and batch <= MOST
    assert batch * image <= BYTES or batch == 1
    assert batch == MOST or 2 * batch * image > BYTES
