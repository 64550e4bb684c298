from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets

from pipeline.base.errors import UserError
from pipeline.config.data import Data
from pipeline.data.images import ArrayImages, Files, Images, fitted
from pipeline.data.origins import read_origins
from pipeline.data.prepare import load, prepare
from tests.data.folders import folder

SHARED = Path(__file__).parents[3] / "shared" / "data"


def everything(images: Images | Files) -> np.ndarray:
    assert not isinstance(images, Files)
    return images[np.arange(images.shape[0])]


def test_digits_are_real_and_fill_the_range_of_a_byte(tmp_path: Path) -> None:
    source = load(Data(source="digits"), tmp_path)
    images_NCHW = everything(source.images)
    assert images_NCHW.shape == (1797, 1, 8, 8)
    assert images_NCHW.dtype == np.uint8
    assert (images_NCHW.min(), images_NCHW.max()) == (0, 255)
    assert images_NCHW[0, 0, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]  # 0 0 5 13 9 1 0 0 sixteenths
    assert source.classes == tuple("0123456789")
    assert source.labels[:4].tolist() == [0, 1, 2, 3]
    assert source.splits is None


def test_digits_can_be_another_size(tmp_path: Path) -> None:
    images = load(Data(source="digits", size=16), tmp_path).images
    assert everything(images).shape == (1797, 1, 16, 16)


def test_own_images_come_through_the_same_door(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 1, "b": 1})
    assert load(Data(source="imagefolder"), tmp_path).classes == ("a", "b")


class Grey:
    """As torchvision's MNIST shows itself: tensors."""

    classes = ("one", "two")

    def __init__(self, root: Path, train: bool, download: bool) -> None:
        assert not download
        count = 4 if train else 2
        self.data = torch.arange(count * 9, dtype=torch.uint8).view(count, 3, 3)
        self.targets = torch.arange(count) % 2


class Colour:
    """As torchvision's CIFAR shows itself: an array, channels last, and a list."""

    classes = ("one", "two")

    def __init__(self, root: Path, train: bool, download: bool) -> None:
        count = 4 if train else 2
        self.data = np.arange(count * 27, dtype=np.uint8).reshape(count, 3, 3, 3)
        self.targets = [row % 2 for row in range(count)]


def test_grey_torchvision_data_get_a_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets, "MNIST", Grey)
    source = load(Data.model_validate({"source": "mnist", "download": False}), tmp_path)
    images = everything(source.images)
    np.testing.assert_array_equal(images[:4], np.arange(36, dtype=np.uint8).reshape(4, 1, 3, 3))
    np.testing.assert_array_equal(images[4:], images[:2])  # those of test, which begin anew
    assert source.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert source.splits == ["train"] * 4 + ["test"] * 2


def test_colour_torchvision_data_can_be_greyed_and_resized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Colour)
    values_NHWC = Colour(tmp_path, True, False).data
    source = load(Data(source="cifar10"), tmp_path)
    np.testing.assert_array_equal(everything(source.images)[:4], values_NHWC.transpose(0, 3, 1, 2))
    assert source.classes == ("one", "two")
    grey = load(Data(source="cifar10", grayscale=True), tmp_path).images
    luma_NHW = values_NHWC @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(everything(grey)[:4, 0], luma_NHW, atol=1)
    resized = load(Data(source="cifar10", size=5), tmp_path).images
    assert everything(resized).shape == (6, 3, 5, 5)


@pytest.mark.parametrize("source", ["mnist", "fashion_mnist", "cifar10", "cifar100"])
def test_what_is_not_there_is_one_sentence(tmp_path: Path, source: str) -> None:
    data = Data.model_validate({"source": source, "download": False})
    with pytest.raises(UserError, match=rf"data.source {source} is not whole under data.root .* data.download to true"):
        load(data, tmp_path)


def test_a_failed_download_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(root: Path, train: bool, download: bool) -> None:
        raise OSError("no route\nto host")

    monkeypatch.setattr(torchvision.datasets, "CIFAR100", unreachable)
    with pytest.raises(UserError, match=r"could not be downloaded to data.root .* \(no route to host\): connect"):
        load(Data.model_validate({"source": "cifar100", "download": True}), tmp_path)


def test_what_an_image_is_known_by_does_not_hang_on_its_size(tmp_path: Path) -> None:
    """So a split does not move where `data.size` or `data.grayscale` changes."""
    values_NHWC = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)
    for size, grayscale in ((None, False), (9, False), (None, True)):
        images = fitted(values_NHWC, size, grayscale)
        assert isinstance(images, ArrayImages) and images.content(1) == values_NHWC[1].tobytes()
    found = [prepare(Data(size=size), tmp_path, 0, tmp_path / str(size), origins=True) for size in (None, 4)]
    rows = [read_origins(tmp_path / str(size), each["hash"]).rows for size, each in zip((None, 4), found, strict=True)]
    assert all(np.array_equal(rows[0][split], rows[1][split]) for split in rows[0])


@pytest.mark.skipif(not (SHARED / "FashionMNIST").is_dir(), reason="no Fashion-MNIST in ../shared/data")
def test_fashion_mnist_for_real() -> None:
    source = load(Data.model_validate({"source": "fashion_mnist", "download": False}), SHARED)
    assert everything(source.images).shape == (70_000, 1, 28, 28)
    assert np.bincount(source.labels).tolist() == [7000] * 10
    assert source.classes[:2] == ("T-shirt/top", "Trouser")
    assert source.splits == ["train"] * 60_000 + ["test"] * 10_000
