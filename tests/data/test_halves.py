"""Validation cut in two: nothing that belongs together is divided, and order and company do not matter."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.base.errors import UserError
from pipeline.base.files import digest
from pipeline.config.data import Data
from pipeline.data.halves import UNITS, halves
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Split, read, read_header
from tests.data.folders import picture


def digits(out: Path) -> Path:
    prepare(Data.model_validate({"source": "digits", "validation": 0.25, "test": 0.2}), out, 0, out)
    return out


def shots(root: Path, out: Path, *, group: str | None, storage: str = "pixels") -> Path:
    """Pictures in threes that show one scene, prepared."""
    for label in ("cat", "dog"):
        for number in range(60):
            picture(root / label / f"{number // 3:02}-{number % 3}.png", seed=number + 100 * (label == "dog"))
    data = {"source": "imagefolder", "size": 6, "validation": 0.5, "test": 0.2, "group": group, "storage": storage}
    prepare(Data.model_validate(data), root, 0, out)
    return out


def contents(split: Split, rows_N: np.ndarray) -> set[bytes]:
    return {np.asarray(split.images[int(row)]).tobytes() for row in rows_N}


def test_each_image_is_in_one_half_and_both_are_of_one_size(tmp_path: Path) -> None:
    out = digits(tmp_path)
    validation = read(out).validation
    cut = halves(out, validation)
    first, second = cut.first, cut.second
    np.testing.assert_array_equal(np.sort(np.concatenate([first, second])), np.arange(len(validation)))
    assert abs(len(first) - len(second)) <= 1
    assert UNITS not in read_header(out).files
    # Two of the digits are the same to the pixel.
    assert len(second) - 2 <= len(cut.apart) <= len(second) and {*cut.apart} <= {*second}


def test_order_and_what_else_is_there_move_no_image_far(tmp_path: Path) -> None:
    out = digits(tmp_path)
    validation = read(out).validation
    first = halves(out, validation).first
    turned = np.random.default_rng(0).permutation(len(validation))
    other = Split(np.asarray(validation.images)[turned], validation.labels[turned])
    assert contents(other, halves(out, other).first) == contents(validation, first)
    fewer = Split(np.asarray(validation.images)[1:], validation.labels[1:])
    assert len(contents(fewer, halves(out, fewer).first) ^ contents(validation, first)) <= 2


def test_copies_stay_together(tmp_path: Path) -> None:
    out = digits(tmp_path)
    validation = read(out).validation
    twice = Split(np.repeat(np.asarray(validation.images), 2, axis=0), validation.labels.repeat(2))
    cut = halves(out, twice)
    assert not contents(twice, cut.first) & contents(twice, cut.second)
    assert len(cut.apart) <= len(cut.second) / 2
    assert contents(twice, cut.apart) == contents(twice, cut.second)
    alone = Split(np.asarray(validation.images)[[3, 3, 3]], validation.labels[[3, 3, 3]])
    cut = halves(out, alone)
    assert [len(rows_N) for rows_N in (cut.first, cut.second, cut.apart)] == [3, 0, 0]


@pytest.mark.parametrize("storage", ["pixels", "encoded"])
def test_groups_stay_together(tmp_path: Path, storage: str) -> None:
    out = shots(tmp_path / "in", tmp_path / "out", group="(.+)-", storage=storage)
    validation, header = read(out).validation, read_header(out)
    units_N = np.load(out / UNITS)
    assert UNITS in header.files and units_N.dtype == np.uint64 and len(units_N) == len(validation) > 30
    cut = halves(out, validation)
    first, second = cut.first, cut.second
    assert {*units_N[cut.apart]} == {*units_N[second]} and len(cut.apart) == len({*units_N[second]}) < len(second)
    assert len(first) + len(second) == len(validation) and min(len(first), len(second)) >= len(validation) / 3
    assert not {*units_N[first]} & {*units_N[second]}
    bare = shots(tmp_path / "in", tmp_path / "bare", group=None, storage=storage)
    assert UNITS not in read_header(bare).files


def test_which_images_belong_together_is_in_no_hash_that_labels_are_bound_to(tmp_path: Path) -> None:
    header = read_header(shots(tmp_path / "in", tmp_path / "out", group="(.+)-"))
    images = {name: found for name, found in header.files.items() if name != UNITS}
    assert header.hash == digest({"files": images, "classes": header.classes, "mean": header.mean, "std": header.std})


def test_units_that_are_missing_or_damaged_are_named(tmp_path: Path) -> None:
    out = shots(tmp_path / "in", tmp_path / "out", group="(.+)-")
    (out / UNITS).unlink()
    with pytest.raises(UserError, match=rf"{UNITS} is missing: delete .* and run `dvc repro`"):
        halves(out, read(out).validation)
    np.save(out / UNITS, np.zeros(3, dtype=np.uint64))
    with pytest.raises(UserError, match=rf"{UNITS} is damaged"):
        halves(out, read(out).validation)
