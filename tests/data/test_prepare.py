import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.errors import UserError
from pipeline.base.files import read_sealed, sha256
from pipeline.config.data import Data
from pipeline.data import prepare as module
from pipeline.data.images import Source
from pipeline.data.prepare import hold_out, load, noisy, prepare, statistics, subset, write_images
from pipeline.data.prepared import Prepared, read, read_header
from tests.data.folders import folder, picture

SHARED = Path(__file__).parents[3] / "shared" / "data"


def digits(out: Path, *, seed: int = 0, **settings: Any) -> Prepared:
    data = Data.model_validate({"source": "digits", "validation": 0.25, "test": 0.2, **settings})
    prepare(data, out, seed, out)
    return read(out)


def content(images_NCHW: np.ndarray) -> list[bytes]:
    return [image.tobytes() for image in images_NCHW]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return digits(tmp_path_factory.mktemp("plain"))


def test_digits_fall_into_three_stratified_splits(plain: Prepared) -> None:
    assert (len(plain.train), len(plain.validation), len(plain.test)) == (1079, 359, 359)
    for split in (plain.train, plain.validation, plain.test):
        shares = np.bincount(split.labels, minlength=10) / len(split)
        assert abs(shares - 0.1).max() < 0.005


def test_the_splits_hold_each_image_once_with_its_label(plain: Prepared) -> None:
    from sklearn.datasets import load_digits

    found = load_digits()
    assert not isinstance(found, tuple)
    original = sorted(
        (np.rint(image * 255 / 16).astype(np.uint8).tobytes(), int(label))
        for image, label in zip(found.images, found.target, strict=True)
    )
    splits = (plain.train, plain.validation, plain.test)
    ours = [
        (image, int(label))
        for split in splits
        for image, label in zip(content(split.images), split.labels, strict=True)
    ]
    assert sorted(ours) == original


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_splits(tmp_path: Path, plain: Prepared) -> None:
    again, other = digits(tmp_path / "again"), digits(tmp_path / "other", seed=1)
    assert again.hash == plain.hash
    assert other.hash != plain.hash
    assert content(again.test.images) == content(plain.test.images)
    assert content(other.test.images) != content(plain.test.images)


def test_label_noise_and_subsets_move_no_split(tmp_path: Path, plain: Prepared) -> None:
    noised = digits(tmp_path / "noisy", label_noise=0.2)
    few = digits(tmp_path / "few", per_class=5)
    for changed in (noised, few):
        assert content(changed.validation.images) == content(plain.validation.images)
        assert content(changed.test.images) == content(plain.test.images)
        np.testing.assert_array_equal(changed.validation.labels, plain.validation.labels)
        np.testing.assert_array_equal(changed.test.labels, plain.test.labels)
        assert changed.hash != plain.hash
    assert content(noised.train.images) == content(plain.train.images)
    np.testing.assert_array_equal(noised.true_labels, plain.train.labels)
    assert (noised.train.labels != noised.true_labels).sum() == round(0.2 * 1079)
    assert set(content(few.train.images)) <= set(content(plain.train.images))


def test_subsets_are_nested_and_balanced(tmp_path: Path) -> None:
    small, large = (digits(tmp_path / str(k), per_class=k) for k in (3, 10))
    assert np.bincount(small.train.labels).tolist() == [3] * 10
    assert set(content(small.train.images)) < set(content(large.train.images))


def test_a_subset_larger_than_a_class_names_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data.per_class asks for 105 .* class '8' has 104 left"):
        digits(tmp_path, per_class=105)


def test_noise_draws_every_other_class_evenly_and_grows_by_adding() -> None:
    labels_N = np.arange(9000) % 4
    some_N, more_N = (noisy(labels_N, 4, share, seed=0) for share in (0.3, 0.6))
    changed_N = some_N != labels_N
    assert changed_N.sum() == 2700
    np.testing.assert_array_equal(some_N[changed_N], more_N[changed_N])
    away = np.bincount((some_N - labels_N)[changed_N] % 4, minlength=4) / 2700
    assert away[0] == 0
    assert abs(away[1:] - 1 / 3).max() < 0.04
    assert (noisy(labels_N, 4, 1.0, seed=0) != labels_N).all()
    np.testing.assert_array_equal(noisy(labels_N, 4, 0.0, seed=0), labels_N)


def test_noise_leaves_rows_without_a_label_alone() -> None:
    labels_N = np.where(np.arange(9000) % 3 > 0, -1, np.arange(9000) % 4)
    noised_N = noisy(labels_N, 4, 0.5, seed=0)
    np.testing.assert_array_equal(noised_N < 0, labels_N < 0)
    assert (noised_N != labels_N).sum() == 1500


def test_images_without_a_label_are_training_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No split of the others changes with them, and the header says how many there are, if any."""
    few = load(Data(source="digits"), tmp_path)
    images = few.images[np.r_[: len(few.labels), :50]]
    more = Source(images, np.concatenate([few.labels, np.full(50, -1)]), few.classes)
    plain = digits(tmp_path / "plain", label_noise=0.1)
    monkeypatch.setattr("pipeline.data.prepare.load", lambda data, root: more)
    found = digits(tmp_path / "more", label_noise=0.1)
    np.testing.assert_array_equal(np.asarray(found.train.labels)[:-50], plain.train.labels)
    assert (np.asarray(found.train.labels)[-50:] == -1).all() and (found.true_labels[-50:] == -1).all()
    np.testing.assert_array_equal(found.validation.images, plain.validation.images)
    np.testing.assert_array_equal(found.test.labels, plain.test.labels)
    assert read_header(tmp_path / "more").unlabelled == 50
    assert "unlabelled" not in read_sealed(tmp_path / "plain" / "data.json")


def test_every_class_keeps_one_image_in_each_split() -> None:
    labels = np.array([0] * 3 + [1] * 50)
    rest, test = hold_out(np.arange(53), labels, ("rare", "common"), 0.01, leave=2, seed=0, purpose="test")
    train, validation = hold_out(rest, labels, ("rare", "common"), 0.99, leave=1, seed=0, purpose="validation")
    for rows in (train, validation, test):
        assert (labels[rows] == 0).sum() == 1
        assert (labels[rows] == 1).sum() >= 1
    assert sorted([*train, *validation, *test]) == list(range(53))


def test_each_purpose_chooses_for_itself() -> None:
    rows, labels = np.arange(100), np.zeros(100, dtype=np.int64)
    _, test = hold_out(rows, labels, ("only",), 0.5, leave=1, seed=0, purpose="test")
    _, validation = hold_out(rows, labels, ("only",), 0.5, leave=1, seed=0, purpose="validation")
    kept = subset(rows, labels, ("only",), 50, seed=0)
    assert len({tuple(chosen.tolist()) for chosen in (test, validation, kept)}) == 3


def test_a_class_too_small_to_split_is_named(tmp_path: Path) -> None:
    root = folder(tmp_path / "images", {"common": 5, "rare": 2})
    with pytest.raises(UserError, match=r"class 'rare' has too few images \(2 where data.test .* until it has 3"):
        prepare(Data(source="imagefolder"), root, 0, tmp_path / "out")


def test_adding_a_class_moves_no_other() -> None:
    labels = np.arange(60) % 3
    both = subset(np.flatnonzero(labels < 2), labels, ("a", "b"), 5, seed=0)
    three = subset(np.arange(60), labels, ("a", "b", "c"), 5, seed=0)
    np.testing.assert_array_equal(three[labels[three] < 2], both)


def test_a_test_split_of_its_own_is_kept_whole(tmp_path: Path) -> None:
    folder(tmp_path / "in" / "train", {"a": 4, "b": 4})
    test = [picture(tmp_path / "in" / "test" / name / "0.png", seed=99) for name in "ab"]
    header = prepare(Data(source="imagefolder", validation=0.25), tmp_path / "in", 0, tmp_path / "out")
    prepared = read(tmp_path / "out")
    assert header["counts"] == {"train": 6, "validation": 2, "test": 2}
    np.testing.assert_array_equal(prepared.test.images, np.stack(test).transpose(0, 3, 1, 2))
    assert prepared.test.labels.tolist() == [0, 1]


def test_statistics_are_those_of_the_training_pixels(plain: Prepared) -> None:
    pixels = plain.train.images.astype(np.float64) / 255
    assert plain.mean == pytest.approx((pixels.mean(),), rel=1e-12)
    assert plain.std == pytest.approx((pixels.std(),), rel=1e-12)


def test_statistics_are_per_channel_and_the_same_in_any_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    images_NCHW = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), dtype=np.uint8)
    images_NCHW[:, 1] //= 2
    whole = statistics(images_NCHW)
    monkeypatch.setattr(module, "CHUNK_BYTES", 7 * 48)
    assert statistics(images_NCHW) == whole
    assert whole[0] == pytest.approx((images_NCHW / 255).mean(axis=(0, 2, 3)).tolist())
    assert whole[1] == pytest.approx((images_NCHW / 255).std(axis=(0, 2, 3)).tolist())


@pytest.mark.parametrize("value", [0, 77, 255])
def test_constant_images_can_be_normalised(value: int) -> None:
    mean, std = statistics(np.full((5, 1, 2, 2), value, dtype=np.uint8))
    assert mean == pytest.approx((value / 255,))
    assert std == (1e-3,)


def test_images_are_written_a_chunk_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images_NCHW = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), dtype=np.uint8)

    class Watched:
        shape = images_NCHW.shape
        asked: list[int]

        def __getitem__(self, rows_B: np.ndarray, /) -> np.ndarray:
            self.asked.append(len(rows_B))
            return images_NCHW[rows_B]

    watched = Watched()
    watched.asked = []
    monkeypatch.setattr(module, "CHUNK_BYTES", 7 * 48)
    rows_N = np.arange(0, 50, 3)
    assert write_images(tmp_path / "x.npy", watched, rows_N) == (17, 3, 4, 4)
    assert watched.asked == [7, 7, 3]
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy", allow_pickle=False), images_NCHW[rows_N])


def test_the_header_is_what_was_returned_and_names_the_data(tmp_path: Path) -> None:
    data = Data(source="digits", label_noise=0.1)
    header = prepare(data, tmp_path, 0, tmp_path)
    assert read_sealed(tmp_path / "data.json") == json.loads(json.dumps(header))
    assert header["files"] == {path.name: sha256(path) for path in tmp_path.glob("*.npy")}
    assert header["relabelled"] == round(0.1 * header["counts"]["train"])
    assert header["source"] == "digits"
    assert header["shapes"]["train"][1:] == (1, 8, 8)
    assert len(header["hash"]) == len(hashlib.sha256().hexdigest())


def test_the_hash_follows_class_names(tmp_path: Path) -> None:
    hashes = set()
    for second in "bc":
        for name in ("a", second):
            for number in range(4):  # one picture many times, so that only the names differ
                picture(tmp_path / second / name / f"{number}.png")
        out = tmp_path / "out" / second
        hashes.add(prepare(Data(source="imagefolder"), tmp_path / second, 0, out)["hash"])
    assert len(hashes) == 2


@pytest.mark.skipif(not (SHARED / "FashionMNIST").is_dir(), reason="no Fashion-MNIST in ../shared/data")
def test_fashion_mnist_for_real(tmp_path: Path) -> None:
    data = Data.model_validate({"source": "fashion_mnist", "download": False, "per_class": 20, "validation": 0.1})
    prepare(data, SHARED, 0, tmp_path)
    prepared = read(tmp_path)
    assert (len(prepared.train), len(prepared.validation), len(prepared.test)) == (200, 6000, 10_000)
    assert prepared.mean[0] == pytest.approx(0.286, abs=0.02)  # 0.2860 over all 60,000
