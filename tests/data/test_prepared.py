import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.config.data import Data
from pipeline.data.prepare import prepare
from pipeline.data.prepared import read
from tests.data.folders import folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("prepared")
    prepare(Data(source="imagefolder"), folder(base / "in", {"a": 6, "b": 6}), 0, base / "out")
    return base / "out"


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "data"))


def change_header(prepared: Path, **changes: Any) -> None:
    """Change it as a stranger would, who knows how to seal."""
    path = prepared / "data.json"
    files.write_sealed(path, files.read_sealed(path) | changes)


def record(prepared: Path) -> None:
    """Bring the hashes of the arrays up to date."""
    change_header(prepared, files={path.name: files.sha256(path) for path in prepared.glob("*.npy")})


def test_what_is_read_is_mapped_and_cannot_be_written(made: Path) -> None:
    prepared = read(made)
    assert (prepared.channels, prepared.size, prepared.classes) == (3, 6, ("a", "b"))
    for split in (prepared.train, prepared.validation, prepared.test):
        assert isinstance(split.images, np.memmap)
        assert split.images.dtype == np.uint8
        assert len(split) == len(split.images) == len(split.labels) > 0
        assert split.labels.dtype == np.int64
        for array in (split.images, split.labels):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0
    np.testing.assert_array_equal(prepared.true_labels, prepared.train.labels)


FILES = ["data.json", "train.images.npy", "validation.labels.npy", "test.images.npy", "train.true_labels.npy"]


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(UserError, match=rf"{name} is missing: run `dvc repro`"):
        read(copy)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("keep", [0, 0.5, 0.999])
def test_a_truncated_file_is_named(copy: Path, name: str, keep: float) -> None:
    whole = (copy / name).read_bytes()
    (copy / name).write_bytes(whole[: int(len(whole) * keep) - (keep > 0.9)])
    with pytest.raises(UserError, match=rf"{name} is damaged .*`dvc repro`"):
        read(copy)


def test_a_file_that_is_too_long_is_named(copy: Path) -> None:
    with (copy / "test.images.npy").open("ab") as file:
        file.write(b"x")
    with pytest.raises(UserError, match=r"test.images.npy is damaged .*`dvc repro`"):
        read(copy)


@pytest.mark.parametrize(
    "array", [np.zeros((1, 3, 6, 6), np.uint8), np.zeros((2, 3, 6, 6), np.int16)], ids=["shape", "dtype"]
)
def test_an_array_that_is_not_as_described_is_named(copy: Path, array: np.ndarray) -> None:
    np.save(copy / "test.images.npy", array)
    record(copy)
    with pytest.raises(UserError, match=r"test.images.npy holds .* says uint8 \(2, 3, 6, 6\)"):
        read(copy)


def test_an_archive_or_a_pickle_is_not_opened(copy: Path) -> None:
    np.save(copy / "test.labels.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    record(copy)
    with pytest.raises(UserError, match=r"test.labels.npy is damaged"):
        read(copy)
    with (copy / "test.labels.npy").open("wb") as file:
        np.savez(file, np.zeros(2))
    record(copy)
    with pytest.raises(UserError, match=r"test.labels.npy is damaged"):
        read(copy)


def test_labels_outside_the_classes_are_named(copy: Path) -> None:
    np.save(copy / "test.labels.npy", np.array([0, 2]))
    record(copy)
    with pytest.raises(UserError, match=r"test.labels.npy has labels outside the 2 classes"):
        read(copy)


def test_only_training_images_may_lack_a_label_and_only_as_many_as_the_header_says(copy: Path) -> None:
    labels_N = np.load(copy / "train.labels.npy")
    labels_N[[0, 2]] = -1
    for name in ("train.labels.npy", "train.true_labels.npy"):
        np.save(copy / name, labels_N)
    record(copy)
    for unlabelled in (0, 1, 3):
        change_header(copy, unlabelled=unlabelled)
        with pytest.raises(UserError, match=r"train.labels.npy has labels outside the 2 classes"):
            read(copy)
    change_header(copy, unlabelled=2)
    np.testing.assert_array_equal(read(copy).train.labels, labels_N)
    for split in ("validation", "test"):
        kept = np.load(copy / f"{split}.labels.npy")
        np.save(copy / f"{split}.labels.npy", np.full_like(kept, -1))
        record(copy)
        with pytest.raises(UserError, match=rf"{split}.labels.npy has labels outside the 2 classes"):
            read(copy)
        np.save(copy / f"{split}.labels.npy", kept)
        record(copy)
    read(copy)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"shapes": {"train": [1]}}, "shapes"),
        ({"mean": "grey"}, "mean"),
        ({"hash": None}, "hash"),
    ],
)
def test_a_header_of_another_kind_is_named(copy: Path, changes: dict[str, Any], where: str) -> None:
    change_header(copy, **changes)
    with pytest.raises(UserError, match=rf"data.json has no valid {where}.*`dvc repro`"):
        read(copy)


def test_a_header_that_is_no_mapping_is_named(copy: Path) -> None:
    (copy / "data.json").write_text("[]")
    with pytest.raises(UserError, match=r"data.json is damaged .*`dvc repro`"):
        read(copy)


@pytest.mark.parametrize("schema", [1, 2, None])
def test_a_header_of_another_version_is_refused_with_what_to_run(copy: Path, schema: int | None) -> None:
    change_header(copy, schema=schema)
    with pytest.raises(UserError, match=rf"data.json is of schema {schema} .* reads schema 3: run `dvc repro`"):
        read(copy)


def test_splits_of_other_images_than_trains_are_named(copy: Path) -> None:
    shapes = files.read_sealed(copy / "data.json")["shapes"]
    for shape in ([0, 3, 6, 6], [2, 1, 6, 6], [2, 3, 6, 7]):
        change_header(copy, shapes={**shapes, "test": shape})
        with pytest.raises(UserError, match=r"data.json has no valid shapes.test .*`dvc repro`"):
            read(copy)


@pytest.mark.long
def test_a_flipped_bit_in_any_byte_is_named(copy: Path) -> None:
    """A last digit that makes the same number is no damage."""
    for path in sorted(copy.iterdir()):
        content = path.read_bytes()
        for position in range(0, len(content), 1 if path.suffix == ".json" else 7):
            flipped = content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
            path.write_bytes(flipped)
            if path.suffix == ".json" and _same(flipped, content):
                continue
            with pytest.raises(UserError, match=rf"{path.name} .*`dvc repro`"):
                read(copy)
        path.write_bytes(content)
    read(copy)


def _same(one: bytes, other: bytes) -> bool:
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False
