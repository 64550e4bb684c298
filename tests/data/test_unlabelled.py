"""Training images without a label: they move no split, leak none, and count for nothing that is of classes."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.errors import UserError
from pipeline.config.data import Data
from pipeline.data.keeping import Keeping
from pipeline.data.listing import find, listing
from pipeline.data.origins import read_origins
from pipeline.data.prepare import load, prepare
from pipeline.data.prepared import read
from tests.data.folders import folder, picture
from tests.data.test_splits import Row, chosen, plain, united

SPLITS = ("train", "validation", "test")
# Rows without a label: alone, copies of labelled ones, and in groups with them or among themselves.
CONTENTS = st.sampled_from([*(f"{label}/{number}" for label in (0, 1) for number in range(12)), *"uvwxyz"])
BARE = st.lists(st.builds(Row, st.just(-1), CONTENTS, st.sampled_from([None, *"ABCD", "only bare"])), max_size=25)
KNOWN = st.lists(
    st.builds(Row, st.integers(0, 1), st.sampled_from("stuvw"), st.sampled_from([None, *"ABCD"])), max_size=12
).map(lambda more: plain([12, 12]) + more)


def named(rows: list[Row], **keys: Any) -> dict[str, list[int]]:
    return {split: found.tolist() for split, found in chosen(rows, **keys).rows.items()}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(3, 40), min_size=2, max_size=4),
    st.integers(0, 60),
    st.lists(st.integers(0, 1000), max_size=40),
    st.integers(0, 5),
)
def test_they_move_no_labelled_row_whatever_their_number(
    counts: list[int], more: int, copies: list[int], seed: int
) -> None:
    """Neither images of their own nor copies of those with a label, which train where these do."""
    rows = plain(counts)
    bare = [Row(-1, f"bare {number}") for number in range(more)]
    copied = [Row(-1, rows[each % len(rows)].content) for each in copies]
    before, after = named(rows, seed=seed), named(rows + bare + copied, seed=seed)
    start = len(rows) + more
    train = [start + place for place, each in enumerate(copies) if each % len(rows) in before["train"]]
    assert after == {**before, "train": [*before["train"], *range(len(rows), start), *train]}


@settings(max_examples=150, deadline=None)
@given(KNOWN, BARE, st.booleans(), st.sampled_from([None, 3]), st.randoms(use_true_random=False))
def test_what_hangs_together_with_a_held_out_image_trains_nothing(
    known: list[Row], bare: list[Row], own: bool, per_class: int | None, draw: Any
) -> None:
    """By bytes or group, over any number of others; also with splits of the source's own, or a subset."""
    rows = draw.sample(known + bare, len(known) + len(bare))
    keys: dict[str, Any] = {"per_class": per_class}
    if own:
        first = {label: [n for n, row in enumerate(rows) if row.label == label] for label in (0, 1)}
        held = {first[label][place]: split for label in (0, 1) for place, split in enumerate(SPLITS[1:])}
        keys["own"] = [held.get(number, "train") for number in range(len(rows))]
    try:
        found = named(rows, **keys)
    except UserError as error:  # groups may be so large that a class cannot be divided
        assert "too few images" in str(error) or "data.per_class" in str(error) or "no image in" in str(error)
        return
    split_of = {row: split for split, members in found.items() for row in members}
    assert all(rows[row].label >= 0 for split in SPLITS[1:] for row in found[split])
    of = united(rows)
    for number, row in enumerate(rows):
        if row.label >= 0:
            continue
        unit = next(each for each in of if ("bytes", row.content) in each)
        beside = {split_of.get(n) for n, each in enumerate(rows) if ("bytes", each.content) in unit and each.label >= 0}
        assert split_of.get(number) == (None if beside & {"validation", "test"} else "train")


@settings(max_examples=40, deadline=None)
@given(BARE, st.sampled_from([0.1, 0.5]), st.sampled_from([None, 4]))
def test_subset_and_noise_are_those_of_labelled_rows(bare: list[Row], noise: float, per_class: int | None) -> None:
    known = plain([20, 20])
    bare = [replace(row, content=f"bare {row.content}", group=None) for row in bare]
    before = chosen(known, per_class=per_class, label_noise=noise)
    after = chosen(known + bare, per_class=per_class, label_noise=noise)
    count = len(before.labels)
    assert after.labels.tolist() == before.labels.tolist() + [-1] * len(bare)
    assert after.true_labels.tolist() == before.true_labels.tolist() + [-1] * len(bare)
    assert (after.labels != after.true_labels).sum() == round(noise * count)


@pytest.mark.parametrize(
    ("labels", "own", "sentence"),
    [
        ([-1] * 6, None, r"the labels name no class, and 6 images have none"),
        ([0] * 3 + [-1] * 3, None, r"the labels name one class only, 'a', and 3 images have none \(a label that is"),
        ([0, 1] * 4 + [-1], ["train"] * 6 + ["test"] * 3, r"1 images in test have no label, .*: image 8: label them"),
        ([0, 1] * 4 + [-1], ["train"] * 6 + ["validation"] * 3, r"1 images in validation have no label"),
        ([-1] * 6 + [0, 1] * 4, ["train"] * 6 + ["validation", "validation", "test", "test"] * 2, r"no image in train"),
        ([-1] * 6 + [0, 1] * 4, ["train"] * 6 + ["test"] * 8, r"class 'a' has too few images \(0;"),
        ([0] * 6 + [-1] * 4 + [1] * 2, ["train"] * 10 + ["test"] * 2, r"class 'b' has too few images \(0;"),
    ],
)
def test_what_leaves_nothing_to_learn_or_to_measure_is_refused(
    labels: list[int], own: list[str] | None, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setattr("pipeline.data.splits.names_of", lambda images: None)
    rows = [Row(label, str(number)) for number, label in enumerate(labels)]
    with pytest.raises(UserError, match=sentence):
        chosen(rows, own=own)


def said(root: Path, **keys: Any) -> tuple[dict[str, Any], list[str], dict[str, list[str]]]:
    """The header, what `prepare` says, and the files of each split."""
    sentences: list[str] = []
    data = Data.model_validate({"source": "imagefolder", **keys})
    out = root.parent / f"{root.name} out"
    header = prepare(data, root, 0, out, origins=True, keeping=Keeping(log=sentences.append))
    origins = read_origins(out, header["hash"])
    assert origins.paths is not None
    files = {split: [origins.paths[row] for row in rows] for split, rows in origins.rows.items()}
    return header, [each.removeprefix("prepare: ") for each in sentences], files


@pytest.mark.parametrize("name", ["unlabelled", "UNLABELLED", "unlabeled", "Unlabeled"])
@pytest.mark.parametrize("inside", [True, False])
def test_a_folder_of_that_name_beside_train(tmp_path: Path, name: str, inside: bool) -> None:
    root = tmp_path / "in"
    for split, count in (("train", 6), ("test", 2)):
        folder(root / split, {"a": count, "b": count})
    for number, path in enumerate(("0.png", "cat/1.png", "cat/deep/2.png")):
        picture((root / "train" if inside else root) / name / path, seed=90 + number)
    found = find(root)
    top = f"train/{name}" if inside else name
    bare = [f"{top}/{path}" for path in ("0.png", "cat/1.png", "cat/deep/2.png")]
    assert found.classes == ("a", "b")
    assert found.paths[-3:] == bare and found.labels[-3:] == [-1] * 3
    assert found.splits is not None and found.splits[-3:] == ["train"] * 3
    assert -1 not in found.labels[:-3] and found.left_out.sentences() == []
    before = listing(root)
    picture((root / "train" if inside else root) / name / "another.png", seed=99)
    assert listing(root)["count"] == 20 and listing(root)["digest"] != before["digest"]


def test_beside_the_folders_of_classes(tmp_path: Path) -> None:
    root = folder(tmp_path / "in", {"a": 10, "b": 10})
    before = said(root)[2]
    for number in range(4):
        picture(root / "unlabelled" / f"{number}.png", seed=900 + number)
    header, sentences, files = said(root)
    names = [f"unlabelled/{number}.png" for number in range(4)]
    assert sentences == [
        f"4 images train without a label, on what a teacher says of them: {', '.join(names)}",
    ]
    assert files == {**before, "train": before["train"] + names}
    assert header["unlabelled"] == 4 and header["counts"]["train"] == len(before["train"]) + 4
    data = read(tmp_path / "in out")
    assert data.train.unlabelled == 4 and data.classes == ("a", "b")
    assert np.asarray(data.train.labels)[-4:].tolist() == [-1] * 4


def test_the_header_is_as_it_was_where_all_have_a_label(tmp_path: Path) -> None:
    header, sentences, _ = said(folder(tmp_path / "in", {"a": 10, "b": 10}))
    assert "unlabelled" not in header and sentences == []


def test_a_folder_of_that_name_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for split in ("train", "test"):
        folder(root / split, {"a": 3, "b": 3})
    (root / "unlabelled").mkdir()
    with pytest.raises(UserError, match=r"folder of images without a label, .*unlabelled holds no image"):
        find(root)
    picture(root / "unlabelled" / "0.png")
    picture(root / "Unlabeled" / "0.png")
    with pytest.raises(UserError, match=r"has Unlabeled/ and unlabelled/, which both hold images without a label"):
        find(root)
    shutil.rmtree(root / "Unlabeled")
    (root / "unlabelled").rename(root / "test" / "unlabelled")
    with pytest.raises(UserError, match=r"has test/unlabelled/, and images without a label can only train: move it"):
        find(root)
    with pytest.raises(UserError, match=r"has too few class folders \(1, and two are the least\)"):
        find(folder(tmp_path / "one", {"a": 3, "unlabelled": 3}))
    with pytest.raises(UserError, match=r"has test/ and val/ and no train/"):
        for split in ("val", "test"):
            folder(tmp_path / "none" / split, {"a": 1, "b": 1})
        find(folder(tmp_path / "none", {"unlabelled": 3}))


def test_copies_of_images_that_validate_or_test_are_left_out_and_named(tmp_path: Path) -> None:
    root = folder(tmp_path / "in", {"a": 20, "b": 20})
    _, _, files = said(root)
    for number, name in enumerate([files["test"][0], files["validation"][0], files["train"][0]]):
        picture(root / "unlabelled" / "one" / f"{number}.png", seed=500 + number)
        shutil.copy(root / name, root / "unlabelled" / f"copy{number}.png")
    header, sentences, after = said(root)
    assert after["test"] == files["test"] and after["validation"] == files["validation"]
    assert header["unlabelled"] == 4
    assert sentences == [
        "2 images are without a label and left out of training, with the bytes or in the group of images that validate "
        "or test: unlabelled/copy0.png, unlabelled/copy1.png",
        "4 images train without a label, on what a teacher says of them: unlabelled/copy2.png, unlabelled/one/0.png, "
        "unlabelled/one/1.png, unlabelled/one/2.png",
        "3 images are copies of others, byte by byte: no split divides them",
    ], "a copy of an image with a label is none under two labels"


def test_shots_of_a_scene_that_is_held_out_are_left_out(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for label, name in enumerate("ab"):
        for scene in range(10):
            picture(root / name / f"{name}{scene}_0.png", seed=100 * label + scene)
            picture(root / "unlabelled" / f"{name}{scene}_1.png", seed=500 + 100 * label + scene)
    header, sentences, files = said(root, group="([ab][0-9])_")
    scenes = {split: {Path(each).name[:2] for each in names} for split, names in files.items()}
    assert not scenes["train"] & (scenes["validation"] | scenes["test"])
    assert header["unlabelled"] == len(scenes["train"]) == 20 - len(scenes["validation"]) - len(scenes["test"])
    assert any("left out of training, with the bytes or in the group" in each for each in sentences)


def test_one_that_cannot_be_read_is_left_out_as_any(tmp_path: Path) -> None:
    root = folder(tmp_path / "in", {"a": 10, "b": 10})
    (root / "unlabelled").mkdir()
    (root / "unlabelled" / "bad.png").write_bytes(b"nothing")
    picture(root / "unlabelled" / "good.png", seed=900)
    with pytest.raises(UserError, match=r"1 of 22 files under data.root is no readable image: unlabelled/bad.png"):
        said(root)
    header, sentences, _ = said(root, unreadable="skip")
    assert header["unlabelled"] == 1
    assert sentences[1] == "1 image trains without a label, on what a teacher says of them: unlabelled/good.png"


def test_a_manifest_of_labels_minus_one_and_one_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """As of a support vector machine: -1 is no label here, so that one class is left."""
    for number in range(8):
        picture(tmp_path / f"{number}.png", seed=number)
    lines = "".join(f"{number}.png,{(-1) ** number}\n" for number in range(8))
    (tmp_path / "manifest.csv").write_text("path,label\n" + lines)
    with pytest.raises(UserError, match=r"one class only, '1', and 4 images have none \(a label that is empty"):
        prepare(Data(source="manifest"), tmp_path, 0, tmp_path / "out")
    (tmp_path / "manifest.csv").write_text("path,label\n" + "".join(f"{number}.png,\n" for number in range(8)))
    with pytest.raises(UserError, match=r"the labels name no class, and 8 images have none"):
        prepare(Data(source="manifest"), tmp_path, 0, tmp_path / "out")


def test_an_image_that_tests_needs_a_label(tmp_path: Path) -> None:
    for number in range(12):
        picture(tmp_path / f"{number}.png", seed=number)
    splits = ["train"] * 6 + ["val"] * 3 + ["test"] * 3
    lines = [f"{number}.png,{'ab'[number % 2] if number < 11 else ''},{splits[number]}\n" for number in range(12)]
    (tmp_path / "manifest.csv").write_text("path,label,split\n" + "".join(lines))
    with pytest.raises(UserError, match=r"1 images in test have no label, and only images of train can .*: 11.png:"):
        prepare(Data(source="manifest"), tmp_path, 0, tmp_path / "out")


def test_they_are_stored_encoded_as_any(tmp_path: Path) -> None:
    root = folder(tmp_path / "in", {"a": 5, "b": 5}, size=(40, 30))
    for number in range(3):
        picture(root / "unlabelled" / f"{number}.png", size=(40, 30), seed=900 + number)
    said(root, storage="encoded", size=24)
    data = read(tmp_path / "in out")
    assert data.train.unlabelled == 3
    assert data.train.images[[len(data.train) - 1]].shape == (1, 3, 24, 24)
    source = load(Data(source="imagefolder"), root)
    assert source.labels.tolist() == [0] * 5 + [1] * 5 + [-1] * 3
