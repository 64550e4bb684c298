import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.base.errors import UserError
from pipeline.config.data import Data
from pipeline.data.images import Files, Images, is_files
from pipeline.data.prepare import prepare
from pipeline.data.sources import imagefolder
from pipeline.data.writing import FilePixels, Unreadable
from tests.data.folders import folder, picture


def everything(files: Files | Images, size: int | None = None, mode: str = "RGB") -> np.ndarray:
    assert is_files(files)
    images = FilePixels(files, 0, mode, size)
    pixels_NCHW = images[np.arange(images.shape[0])]
    if images.unreadable:
        raise Unreadable(images.unreadable)
    return pixels_NCHW


def test_a_tree_gives_its_pixels_and_labels_in_sorted_order(tmp_path: Path) -> None:
    dogs = [picture(tmp_path / "dog" / f"{name}.png", seed=seed) for seed, name in enumerate("ab")]
    cats = [picture(tmp_path / "cat" / "z.bmp", seed=7)]
    source = imagefolder.load(tmp_path, None, False)
    assert source.classes == ("cat", "dog")
    assert source.labels.tolist() == [0, 1, 1]
    assert source.labels.dtype == np.int64
    assert source.test is None
    np.testing.assert_array_equal(everything(source.images), np.stack([*cats, *dogs]).transpose(0, 3, 1, 2))


def test_train_and_test_folders_are_a_split_of_their_own(tmp_path: Path) -> None:
    folder(tmp_path / "train", {"a": 3, "b": 2})
    folder(tmp_path / "test", {"a": 1, "b": 2})
    source = imagefolder.load(tmp_path, None, False)
    assert source.labels.tolist() == [0, 0, 0, 1, 1]
    assert source.test is not None
    images, labels = source.test
    assert labels.tolist() == [0, 1, 1]
    assert everything(images).shape == (3, 3, 6, 6)


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "png", "bmp", "gif", "webp", "ppm", "PNG"])
def test_every_format_is_read_and_grey_has_one_channel(tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (6, 6), (90, 90, 90)).save(tmp_path / name / f"0.{suffix}")
    for grayscale, channels in ((False, 3), (True, 1)):
        images = everything(imagefolder.load(tmp_path, None, grayscale).images, mode="L" if grayscale else "RGB")
        assert images.shape == (2, channels, 6, 6)
        np.testing.assert_allclose(images, 90, atol=3)


def test_any_sizes_are_scaled_to_one(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "0.png", size=(9, 5))
    picture(tmp_path / "b" / "0.png", size=(3, 30), mode="L")
    images = imagefolder.load(tmp_path, 8, False).images
    assert everything(images, 8).shape == (2, 3, 8, 8)


def test_without_a_size_the_image_that_differs_is_named(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 2, "b": 2})
    picture(tmp_path / "b" / "odd.png", size=(6, 5))
    images = imagefolder.load(tmp_path, None, False).images
    with pytest.raises(UserError, match=r"odd.png is 6x5 pixels and others are 6x6: set data.size"):
        everything(images)


def test_without_a_size_images_must_be_square(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 2, "b": 2}, size=(6, 4))
    with pytest.raises(UserError, match=r"000.png is 6x4 pixels and not square: set data.size"):
        everything(imagefolder.load(tmp_path, None, False).images)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_damaged_image_is_named(tmp_path: Path, suffix: str) -> None:
    folder(tmp_path, {"a": 3, "b": 3}, size=(64, 64))
    bad = tmp_path / "b" / f"bad.{suffix}"
    picture(bad, size=(64, 64))
    whole = bad.read_bytes()
    for damage in (whole[: len(whole) // 2], b"", b"no image at all"):
        bad.write_bytes(damage)
        with pytest.raises(UserError, match=rf"bad.{suffix} under data.root is no readable image \(.+\): replace it"):
            prepare(Data(source="imagefolder", size=8), tmp_path, 0, tmp_path / ".out")
        shutil.rmtree(tmp_path / ".out")
