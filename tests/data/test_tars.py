"""Images in tar archives, as WebDataset writes them."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.base.errors import UserError
from pipeline.config.data import Data
from pipeline.data.images import Files, Source
from pipeline.data.prepare import load, prepare


def png(seed: int) -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def tar(path: Path, members: dict[str, bytes], mode: Any = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def samples(rows: range) -> dict[str, bytes]:
    """Labels are 2 and 10."""
    return {
        name: content
        for row in rows
        for name, content in ((f"{row:04}.png", png(row)), (f"{row:04}.cls", b"%d\n" % (2 + 8 * (row % 2))))
    }


def loaded(root: Path, **keys: Any) -> Source:
    return load(Data.model_validate({"source": "webdataset", **keys}), root)


def test_samples_of_all_archives(tmp_path: Path) -> None:
    tar(tmp_path / "b.tar", samples(range(4, 12)))
    tar(tmp_path / "a.tar", samples(range(4)))
    source = loaded(tmp_path)
    assert source.classes == ("2", "10") and source.labels.tolist() == [0, 1] * 6 and source.splits is None
    assert isinstance(source.images, Files)
    assert source.images.names[3:5] == ("a.tar#0003.png", "b.tar#0004.png")
    assert [source.images.read(row) for row in range(12)] == [png(row) for row in range(12)]
    assert sum(prepare(Data(source="webdataset"), tmp_path, 0, tmp_path / "out")["counts"].values()) == 12


def test_splits_by_names_of_archives_or_of_their_folders(tmp_path: Path) -> None:
    tar(tmp_path / "one" / "test-000.tar", samples(range(4)))
    tar(tmp_path / "one" / "imagenet" / "Train" / "000.tar", samples(range(8)))
    tar(tmp_path / "one" / "val_0.tar", samples(range(2)))
    assert loaded(tmp_path / "one").splits == ["train"] * 8 + ["validation"] * 2 + ["test"] * 4


def test_labels_in_json_and_names_with_dots_and_folders(tmp_path: Path) -> None:
    members = {
        f"some/n{row}.{ending}": content
        for row in range(6)
        for ending, content in (
            ("left.png", png(row)),
            ("json", json.dumps({"class": "ab"[row % 2]}).encode()),
            ("txt", b"a caption"),
        )
    }
    tar(tmp_path / "x.tar", members)
    source = loaded(tmp_path, label_file="json", label_key="class")
    assert source.classes == ("a", "b") and source.labels.tolist() == [0, 1] * 3
    names = ", ".join(f"x.tar#some/n{row}.txt" for row in range(6))
    assert source.left_out == [f"left out 6 (neither image nor label of its sample): {names}"]


def test_a_label_of_text(tmp_path: Path) -> None:
    tar(tmp_path / "x.tar", {"0.png": png(0), "0.txt": b" dog ", "1.jpg": png(1), "1.txt": b"cat", "2.txt": b"none"})
    source = loaded(tmp_path, label_file="txt")
    assert (source.classes, source.labels.tolist()) == (("cat", "dog"), [1, 0])
    assert source.left_out == ["left out 1 (a label without an image): x.tar#2.txt"]


@pytest.mark.parametrize(
    ("members", "keys", "sentence"),
    [
        ({"0.png": b"x"}, {}, r"has 1 images and no label of any, which ends in .cls: 0: set data.label_file"),
        ({"0.png": b"x", "1.cls": b"1"}, {}, r"has 1 images and no label of any, which ends in .cls"),
        ({"0.png": b"x", "0.jpg": b"x", "0.cls": b"1"}, {}, r"has 2 images of the sample '0': keep one"),
        ({"0.png": b"x", "0.cls": b"\xff"}, {}, r"0.cls must hold the name or the number of a class"),
        ({"0.png": b"x", "0.cls": b"{}"}, {"label_key": "y"}, r"0.cls must hold a JSON object with a class under 'y'"),
        ({"0.png": b"x", "0.cls": b'{"y": 1.5}'}, {"label_key": "y"}, r"a JSON object with a class under 'y'"),
        ({"readme": b"x"}, {}, r"has archives without images"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    tmp_path: Path, members: dict[str, bytes], keys: dict[str, str], sentence: str
) -> None:
    tar(tmp_path / "x.tar", members)
    with pytest.raises(UserError, match=sentence):
        loaded(tmp_path, **keys)


@pytest.mark.parametrize("none", [b"", b"-1\n", None])
def test_a_sample_without_a_label_or_with_an_empty_one_has_none(tmp_path: Path, none: bytes | None) -> None:
    members = samples(range(6))
    for name in ("0001.cls", "0004.cls"):
        members |= {name: none or b""} if none is not None else {}
        if none is None:
            del members[name]
    tar(tmp_path / "x.tar", members)
    source = loaded(tmp_path)
    assert (source.classes, source.labels.tolist()) == (("2", "10"), [0, -1, 0, 1, -1, 1])


@pytest.mark.parametrize("none", [None, "", -1, "-1"])
def test_a_json_of_null_names_no_class(tmp_path: Path, none: Any) -> None:
    labels = ["a", none, "b"]
    members = {f"{n}.json": json.dumps({"class": each}).encode() for n, each in enumerate(labels)}
    tar(tmp_path / "x.tar", members | {f"{n}.png": png(n) for n in range(3)})
    assert loaded(tmp_path, label_file="json", label_key="class").labels.tolist() == [0, -1, 1]


@pytest.mark.parametrize("name", ["unlabelled-0.tar", "more/UNLABELED/0.tar"])
def test_an_archive_called_unlabelled_trains_without_labels(tmp_path: Path, name: str) -> None:
    tar(tmp_path / "train.tar", samples(range(4)))
    tar(tmp_path / "val.tar", samples(range(4, 6)))
    tar(tmp_path / name, {each: content for each, content in samples(range(6, 9)).items() if "7.cls" not in each})
    source = loaded(tmp_path)
    assert source.classes == ("2", "10")
    found = dict(zip(source.images.names, zip(source.splits or (), source.labels.tolist(), strict=True), strict=True))  # pyright: ignore[reportAttributeAccessIssue]
    assert {each: found[each] for each in found if each.startswith(name)} == {
        f"{name}#{row:04}.png": ("train", -1) for row in range(6, 9)
    }
    assert sorted(found.values()) == sorted(
        [("train", 0), ("train", 1)] * 2 + [("validation", 0), ("validation", 1)] + [("train", -1)] * 3
    )


def test_compressed_and_cut_archives_are_named(tmp_path: Path) -> None:
    tar(tmp_path / "gz" / "x.tar", samples(range(4)), "w:gz")
    path = tar(tmp_path / "cut" / "x.tar", samples(range(40)))
    path.write_bytes(path.read_bytes()[:20_700])
    for name in ("gz", "cut"):
        with pytest.raises(UserError, match=r"x.tar is no whole tar archive without compression"):
            loaded(tmp_path / name)
    with pytest.raises(UserError, match=r"holds no \*.tar"):
        loaded(tmp_path / "gone")


def test_a_link_within_an_archive_is_left_out(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", samples(range(4)))
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("0009.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert loaded(tmp_path).left_out == ["left out 1 (no plain file in its archive): x.tar#0009.png"]


def test_an_archive_that_lies_elsewhere_is_read_where_links_are_allowed(tmp_path: Path) -> None:
    tar(tmp_path / "elsewhere" / "x.tar", samples(range(4)))
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "x.tar").symlink_to(tmp_path / "elsewhere" / "x.tar")
    with pytest.raises(UserError, match=r"x.tar under data.root is a link out of it"):
        loaded(tmp_path / "root")
    assert len(loaded(tmp_path / "root", links=True).labels) == 4
