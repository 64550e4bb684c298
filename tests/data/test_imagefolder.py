"""Image folders from end to end: what is prepared of them, and which of them are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.base.errors import UserError
from pipeline.config.data import Data
from pipeline.data.prepare import prepare
from pipeline.data.prepared import SPLITS, Prepared, read
from pipeline.data.sources import imagefolder
from tests.data.folders import folder, picture


def prepared(root: Path, out: Path, **keys: Any) -> Prepared:
    prepare(Data.model_validate({"source": "imagefolder", **keys}), root, 0, out)
    return read(out)


def content(data: Prepared) -> list[bytes]:
    """All images, whatever their split, sorted."""
    return sorted(image.tobytes() for split in SPLITS for image in getattr(data, split).images)


def test_a_tree_gives_its_names_and_labels_in_sorted_order(tmp_path: Path) -> None:
    dogs = [picture(tmp_path / "dog" / f"{name}.png", seed=seed) for seed, name in enumerate("abc")]
    cats = [picture(tmp_path / "cat" / f"{name}.bmp", seed=7 + seed) for seed, name in enumerate("xyz")]
    source = imagefolder.load(tmp_path)
    assert source.classes == ("cat", "dog")
    assert source.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert source.labels.dtype == np.int64
    assert source.splits is None
    assert content(prepared(tmp_path, tmp_path / ".out")) == sorted(
        image.transpose(2, 0, 1).tobytes() for image in (*cats, *dogs)
    )


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "png", "bmp", "gif", "webp", "ppm", "PNG"])
def test_every_format_is_read_and_grey_has_one_channel(tmp_path: Path, suffix: str) -> None:
    for number in range(6):
        (tmp_path / "ab"[number % 2]).mkdir(exist_ok=True)
        Image.new("RGB", (6, 6), (90, 90, 90 + 9 * number)).save(tmp_path / "ab"[number % 2] / f"{number}.{suffix}")
    for grayscale, channels in ((False, 3), (True, 1)):
        images = prepared(tmp_path, tmp_path / ".out", grayscale=grayscale).train.images
        assert images.shape == (2, channels, 6, 6)
        np.testing.assert_allclose(np.asarray(images[:])[:, 0], 92, atol=9)


def test_any_sizes_are_scaled_to_one(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / "a" / f"{number}.png", size=(9, 5), seed=number)
        picture(tmp_path / "b" / f"{number}.png", size=(3, 30), mode="L", seed=number)
    assert prepared(tmp_path, tmp_path / ".out", size=8).train.images.shape == (2, 3, 8, 8)


def test_without_a_size_the_image_that_differs_is_named(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 3, "b": 3})
    picture(tmp_path / "b" / "odd.png", size=(6, 5))
    with pytest.raises(UserError, match=r"odd.png is 6x5 pixels and others are 6x6: set data.size"):
        prepared(tmp_path, tmp_path / ".out")


def test_without_a_size_images_must_be_square(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 3, "b": 3}, size=(6, 4))
    with pytest.raises(UserError, match=r"000.png is 6x4 pixels and not square: set data.size"):
        prepared(tmp_path, tmp_path / ".out")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_damaged_image_is_named(tmp_path: Path, suffix: str) -> None:
    folder(tmp_path, {"a": 3, "b": 3}, size=(64, 64))
    bad = tmp_path / "b" / f"bad.{suffix}"
    picture(bad, size=(64, 64))
    whole = bad.read_bytes()
    for damage in (whole[: len(whole) // 2], b"", b"no image at all"):
        bad.write_bytes(damage)
        with pytest.raises(
            UserError, match=rf"1 of 7 files under data.root is no readable image: b/bad.{suffix} \(.*set "
        ):
            prepared(tmp_path, tmp_path / ".out")
