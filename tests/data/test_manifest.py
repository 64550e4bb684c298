"""Manifests: what each column does, and that nothing in one is ignored."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.errors import UserError
from pipeline.config.data import Data
from pipeline.data import prepared
from pipeline.data.images import names_of
from pipeline.data.keeping import Keeping
from pipeline.data.origins import read_origins
from pipeline.data.prepare import load, prepare
from pipeline.data.prepared import WEIGHTS
from tests.data.folders import picture


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve images without folders of classes."""
    for number in range(12):
        picture(tmp_path / "shots" / f"{number}.png", seed=number)
    return tmp_path


def rows(**columns: Any) -> list[dict[str, Any]]:
    """A row an image, of classes a and b in turn; further columns are functions of the number."""
    return [
        {"path": f"shots/{number}.png", "label": "ab"[number % 2], **{key: of(number) for key, of in columns.items()}}
        for number in range(12)
    ]


def csv(root: Path, listed: list[dict[str, Any]]) -> Data:
    lines = [",".join(listed[0]), *(",".join(f'"{value}"' for value in row.values()) for row in listed)]
    (root / "manifest.csv").write_text("\n".join(lines))
    return Data(source="manifest")


def jsonl(root: Path, listed: list[dict[str, Any]]) -> Data:
    (root / "list.jsonl").write_text("\n".join(map(json.dumps, listed)) + "\n\n")
    return Data.model_validate({"source": "manifest", "manifest": "list.jsonl"})


@pytest.mark.parametrize("write", [csv, jsonl])
def test_paths_and_labels(root: Path, write: Any) -> None:
    source = load(write(root, rows()), root)
    assert source.classes == ("a", "b")
    assert source.labels.tolist() == [0, 1] * 6
    assert names_of(source.images) == tuple(f"shots/{number}.png" for number in range(12))
    assert (source.splits, source.groups) == (None, None)


@pytest.mark.parametrize("write", [csv, jsonl])
def test_weights_of_training_images_are_prepared_and_one_without_has_1(root: Path, tmp_path: Path, write: Any) -> None:
    listed = rows(split=lambda n: "train" if n > 3 else ("val", "test")[n // 2])
    for number, weight in ((1, 7), (5, 2.5), (6, 0)):
        listed[number]["weight"] = weight
    columns = [*listed[0], "weight"]
    listed = [{name: row.get(name, "") if write is csv else row.get(name) for name in columns} for row in listed]
    said: list[str] = []
    header = prepare(write(root, listed), root, 0, tmp_path / "data", keeping=Keeping(log=said.append))
    data = prepared.read(tmp_path / "data")
    assert data.weights is not None and data.weights.tolist() == [1, 2.5, 0, 1, 1, 1, 1, 1]
    assert "prepare: 1 image is in train with the weight 0, and nothing learns from them: shots/6.png" in said
    plain = prepare(write(root, [{**row, "weight": 1} for row in listed]), root, 0, tmp_path / "others")
    assert plain["hash"] != header["hash"] and prepared.read(tmp_path / "others").weights is not None
    without = [{name: value for name, value in row.items() if name != "weight"} for row in listed]
    prepare(write(root, without), root, 0, tmp_path / "none")
    assert prepared.read(tmp_path / "none").weights is None and not (tmp_path / "none" / WEIGHTS).exists()


@pytest.mark.parametrize("write", [csv, jsonl])
def test_splits_and_groups(root: Path, write: Any) -> None:
    names = ["train", "Train", "train", "train", "VAL", "dev", "valid", "validation", "test", "test", "Test", "TEST"]
    data = write(root, rows(split=lambda n: names[n], group=lambda n: f"scene {n // 2}"))
    source = load(data, root)
    assert source.splits == ["train"] * 4 + ["validation"] * 4 + ["test"] * 4
    assert source.groups == [f"scene {number // 2}" for number in range(12)]
    header = prepare(data, root, 0, root / ".out", origins=True)
    assert header["counts"] == {"train": 4, "validation": 4, "test": 4}
    assert read_origins(root / ".out", header["hash"]).rows["test"].tolist() == [8, 9, 10, 11]


def test_a_group_is_no_more_divided_than_a_unit(root: Path) -> None:
    data = csv(root, rows(group=lambda n: f"scene {n % 2} {n // 4}"))
    header = prepare(data, root, 0, root / ".out", origins=True)
    for split_rows in read_origins(root / ".out", header["hash"]).rows.values():
        assert {row + 2 if row % 4 < 2 else row - 2 for row in split_rows.tolist()} == {*split_rows.tolist()}


def test_a_group_that_some_rows_lack(root: Path) -> None:
    source = load(jsonl(root, [row if n else {**row, "group": 7} for n, row in enumerate(rows())]), root)
    assert source.groups == ["7"] + [None] * 11


@pytest.mark.parametrize("none", ["", "-1", -1, None])
@pytest.mark.parametrize("write", [csv, jsonl])
def test_a_label_that_is_empty_null_or_minus_one_is_none(root: Path, write: Any, none: Any) -> None:
    if write is csv and none is None:
        none = ""  # a cell has no other way to hold nothing
    source = load(write(root, [row if n % 4 else {**row, "label": none} for n, row in enumerate(rows())]), root)
    assert source.classes == ("a", "b")
    assert source.labels.tolist() == [-1, 1, 0, 1] * 3


def test_a_line_without_the_key_has_no_label(root: Path) -> None:
    listed = rows()
    del listed[3]["label"]
    assert load(jsonl(root, listed), root).labels.tolist() == [0, 1, 0, -1] + [0, 1] * 4


@pytest.mark.parametrize("write", [csv, jsonl])
def test_an_image_without_a_label_needs_no_split_to_train(root: Path, write: Any) -> None:
    names = ["train"] * 4 + ["", "train"] + ["val"] * 3 + ["test"] * 3
    listed = rows(split=lambda n: names[n] or None)
    for n in (4, 5):
        listed[n]["label"] = ""
    if write is csv:
        listed[4]["split"] = ""
    source = load(write(root, listed), root)
    assert source.splits == ["train"] * 6 + ["validation"] * 3 + ["test"] * 3
    assert source.labels.tolist() == [0, 1, 0, 1, -1, -1] + [0, 1] * 3
    listed[4]["label"] = "a"
    with pytest.raises(UserError, match=r"has no split, and other lines have one"):
        load(write(root, listed), root)


@pytest.mark.parametrize("write", [csv, jsonl])
def test_numbers_as_labels_are_ordered_as_numbers(root: Path, write: Any) -> None:
    source = load(write(root, [{**row, "label": 3 + 8 * (n % 2)} for n, row in enumerate(rows())]), root)
    assert source.classes == ("3", "11")


def test_names_are_those_of_the_disk_whichever_letters_the_list_has(root: Path) -> None:
    picture(root / "shots" / "cafe\u0301.png", seed=99)
    source = load(csv(root, [*rows(), {"path": "shots/caf\u00e9.png", "label": "a"}]), root)
    assert [*(names_of(source.images) or [])][12] == "shots/cafe\u0301.png"


def test_files_that_are_missing_are_named_at_once_and_may_be_skipped(root: Path) -> None:
    more = [{"path": f"shots/gone {number}.png", "label": "a"} for number in range(3)]
    data = csv(root, [*rows(), *more])
    with pytest.raises(UserError) as refused:
        prepare(data, root, 0, root / ".out")
    assert str(refused.value).count("(No such file or directory)") == 3
    header = prepare(data.model_copy(update={"unreadable": "skip"}), root, 0, root / ".out")
    assert sum(header["counts"].values()) == 12


FAULTS = [
    (
        "path,label,weight\na.png,a,-1",
        r":2 has the weight '-1': it must be a number, 0 or more; without one it is 1",
    ),
    ("path,label,splt\na.png,a,train", r":1: unknown column 'splt', did you mean 'split'"),
    ("path,class\na.png,a", r"has no column 'label'"),
    ("", r"has no column 'path'"),
    ("path,label,path\na.png,a,b", r"has the column 'path' twice"),
    ("path,label\na.png", r":2 has 1 values and 2 columns"),
    ("path,label\na.png,a,b", r":2 has 3 values and 2 columns"),
    ("path,label\n,a", r":2 has no path"),
    (
        "path,label\na.png,a \n",
        r":2 has the label 'a ': it must be a string or a whole number, not empty, without spaces",
    ),
    ("path,label\na.png,a\n./a.png,b", r":3 names 'a.png' again, after line 2"),
    (
        "path,label,split\na.png,a,eval",
        r":2 has the split 'eval': it must be one of train, val, valid, validation, dev",
    ),
    ("path,label,split\na.png,a,train\nb.png,a,", r":3 has no split, and other lines have one"),
    ("path,label\n../a.png,a", r":2 names '../a.png', which lies outside data.root"),
    ("path,label\n/etc/passwd,a", r":2 names '/etc/passwd', which lies outside data.root"),
    ("path,label", r"lists no image"),
    ('path,label\n"a.png,a', r"is no readable CSV in UTF-8 \(unexpected end of data\)"),
    (b"path,label\na.png,\xff", r"is no readable CSV in UTF-8"),
]
JSON_FAULTS = [
    ('{"path": "a.png", "label": 1.5}', r":1 has the label 1.5: it must be a string or a whole number"),
    ('{"path": "a.png", "label": true}', r":1 has the label True"),
    ('{"path": 3, "label": "a"}', r":1 has the path 3: it must be a string"),
    ('{"path": "a.png", "label": " "}', r":1 has the label ' '"),
    ('{"path": "a.png", "label": -1.0}', r":1 has the label -1.0"),
    ('{"path": "a.png", "label": []}', r":1 has the label \[\]"),
    ('{"path": "a.png", "label": "a", "weight": true}', r":1 has the weight True: it must be a number"),
    ('{"path": "a.png", "label": "a", "weight": 1e999}', r":1 has the weight inf: it must be a number"),
    ('{"path": "a.png", "label": "a", "weight": NaN}', r":1 has the weight nan: it must be a number"),
    ('{"path": "a.png", "label": "a", "labl": 1}', r":1: unknown column 'labl', did you mean 'label'"),
    ('{"path": "a.png", "path": "b.png", "label": "a"}', r":1 is no JSON \(a key stands there twice\)"),
    ("[1]", r":1 is no JSON object"),
    ('{"path": ', r":1 is no JSON"),
]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [("manifest.csv", *each) for each in FAULTS] + [("manifest.jsonl", *each) for each in JSON_FAULTS],
)
def test_what_cannot_be_used_is_one_sentence(root: Path, name: str, content: str | bytes, sentence: str) -> None:
    (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    data = Data.model_validate({"source": "manifest", "manifest": name})
    for act in (lambda: load(data, root), lambda: data.point.helper("manifest", "files")(root, **data.settings)):  # type: ignore[misc]
        with pytest.raises(UserError, match=sentence):
            act()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("gone.csv", "does not exist"), ("shots", "is a folder"), ("list.txt", "must end in .csv or")],
)
def test_what_is_no_manifest_is_named(root: Path, name: str, sentence: str) -> None:
    (root / "list.txt").write_text("")
    with pytest.raises(UserError, match=rf"data.manifest .*{name} {sentence}"):
        load(Data.model_validate({"source": "manifest", "manifest": name}), root)


def test_a_link_out_is_followed_only_where_asked_for(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    picture(outside / "x.png", seed=55)
    (root / "shots" / "x.png").symlink_to(outside / "x.png")
    (root / "more").symlink_to(outside)
    for path in ("shots/x.png", "more/x.png"):
        data = csv(root, [*rows(), {"path": path, "label": "a"}])
        with pytest.raises(UserError, match=rf":14 names '{path}', which lies outside data.root"):
            load(data, root)
        assert len(load(Data.model_validate({"source": "manifest", "links": True}), root).labels) == 13


def test_plan_sees_each_change(root: Path) -> None:
    data = csv(root, rows())
    files = data.point.helper("manifest", "files")
    assert files is not None
    found = [files(root)]
    os.utime(root / "shots" / "3.png", ns=(0, 1))
    found.append(files(root))
    (root / "shots" / "3.png").unlink()
    found.append(files(root))
    csv(root, rows(group=lambda n: n))
    found.append(files(root))
    assert files(root) == found[-1]
    assert len({each["digest"] for each in found}) == 4 and {each["count"] for each in found} == {12}


def test_a_pipe_is_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "shots" / "pipe.png")
    with pytest.raises(UserError, match=r"shots/pipe.png \(it is a named pipe\)"):
        prepare(csv(root, [*rows(), {"path": "shots/pipe.png", "label": "a"}]), root, 0, root / ".out")


def test_order_is_that_of_the_list(root: Path) -> None:
    source = load(csv(root, rows()[::-1]), root)
    assert next(iter(names_of(source.images) or [])) == "shots/11.png"
    assert np.array_equal(source.labels, [1, 0] * 6)
