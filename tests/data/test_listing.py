import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.base.errors import UserError
from pipeline.data.listing import Found, find, listing
from tests.data.folders import folder, picture


def read(root: Path, **keys: bool) -> dict[str, list[str]]:
    """The files of each class below the root, by split and class."""
    found: Found = find(root, **keys)
    tree: dict[str, list[str]] = {}
    for number, (path, label) in enumerate(zip(found.paths, found.labels, strict=True)):
        split = f"{found.splits[number]}/" if found.splits else ""
        tree.setdefault(split + found.classes[label], []).append(path)
    return tree


def test_one_tree_is_read_sorted_at_any_depth_and_what_is_not_read_is_named(tmp_path: Path) -> None:
    folder(tmp_path, {"dog": 2, "cat": 3})
    (tmp_path / ".git").mkdir()
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "cat" / ".hidden.png").write_bytes(b"")
    (tmp_path / "cat" / "notes.txt").write_text("about")
    picture(tmp_path / "cat" / "A.JPEG")
    picture(tmp_path / "cat" / "001" / "tabby" / "0.png")
    assert read(tmp_path) == {
        "cat": ["cat/000.png", "cat/001.png", "cat/001/tabby/0.png", "cat/002.png", "cat/A.JPEG"],
        "dog": ["dog/000.png", "dog/001.png"],
    }
    assert listing(tmp_path)["count"] == 7
    assert find(tmp_path).left_out.sentences() == [
        "left out 2 (hidden): .git, cat/.hidden.png",
        "left out 1 (in no folder of a class): README.md",
        "left out 1 (no image by the end of its name): cat/notes.txt",
    ]


def test_of_many_that_are_left_out_ten_are_named(tmp_path: Path) -> None:
    root = folder(tmp_path, {"a": 1, "b": 1})
    for number in range(12):
        (root / "a" / f"{number:02}.txt").write_text("")
    names = ", ".join(f"a/{number:02}.txt" for number in range(10))
    assert find(root).left_out.sentences() == [f"left out 12 (no image by the end of its name): {names}, …"]


@pytest.mark.parametrize("train", ["train", "TRAIN"])
@pytest.mark.parametrize("validation", ["val", "Valid", "validation", "dev", None])
@pytest.mark.parametrize("test", ["test", "Test", None])
def test_splits_by_all_their_usual_names(tmp_path: Path, train: str, validation: str | None, test: str | None) -> None:
    for name in filter(None, (train, validation, test)):
        folder(tmp_path / name, {"a": 1, "b": 1})
    tree = read(tmp_path)
    folders = {"train": train, "validation": validation, "test": test}
    assert tree == {
        f"{split}/{name}": [f"{of}/{name}/000.png"] for split, of in folders.items() if of for name in ("a", "b")
    }


def test_what_lies_beside_splits_is_named_and_a_class_may_be_called_as_a_split(tmp_path: Path) -> None:
    folder(tmp_path / "two" / "train", {"a": 2, "b": 2})
    folder(tmp_path / "two" / "test", {"a": 1, "b": 1})
    folder(tmp_path / "two" / "extra", {"a": 1})
    (tmp_path / "two" / "labels.csv").write_text("")
    (tmp_path / "two" / "test" / "labels.csv").write_text("")
    assert {name: len(files) for name, files in read(tmp_path / "two").items()} == {
        "train/a": 2,
        "train/b": 2,
        "test/a": 1,
        "test/b": 1,
    }
    assert find(tmp_path / "two").left_out.sentences() == [
        "left out 2 (beside the folders of the splits): labels.csv, extra/",
        "left out 1 (in no folder of a class): test/labels.csv",
    ]
    folder(tmp_path / "vehicles", {"train": 2, "plane": 2})
    assert [*read(tmp_path / "vehicles")] == ["plane", "train"]


def test_two_folders_of_one_split_and_none_to_train_with_are_refused(tmp_path: Path) -> None:
    for name in ("train", "val", "dev"):
        folder(tmp_path / name, {"a": 1, "b": 1})
    with pytest.raises(UserError, match=r"has dev/ and val/, which all mean validation: keep one"):
        find(tmp_path)
    shutil.rmtree(tmp_path / "train")
    with pytest.raises(UserError, match=r"has dev/ and val/ and no train/: add it"):
        find(tmp_path)


COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def test_names_that_look_alike_are_one_class(tmp_path: Path) -> None:
    folder(tmp_path / "train", {COMPOSED: 1, "b": 1})
    folder(tmp_path / "test", {DECOMPOSED: 1, "b": 1})
    assert find(tmp_path).classes == ("b", COMPOSED)
    picture(tmp_path / "train" / DECOMPOSED / "other.png")
    assert sum(name == f"train/{COMPOSED}" for name in read(tmp_path)) == 1
    assert len(read(tmp_path)[f"train/{COMPOSED}"]) == 2
    picture(tmp_path / "train" / DECOMPOSED / "000.png")
    with pytest.raises(UserError, match=r"has the name of another file in other characters: rename one"):
        find(tmp_path)


def test_the_digest_follows_every_image_and_nothing_else(tmp_path: Path) -> None:
    root = folder(tmp_path / "here", {"a": 2, "b": 2})
    first = listing(root)
    assert listing(root) == first
    (root / "notes.txt").write_text("about")
    (root / "a" / ".hidden.png").write_bytes(b"")
    assert listing(root) == first
    shutil.copytree(root, tmp_path / "there")  # with times: the place itself does not count
    assert listing(tmp_path / "there") == first

    image = root / "a" / "000.png"
    os.utime(image, ns=(0, image.stat().st_mtime_ns + 1))
    touched = listing(root)
    image.rename(root / "a" / "renamed.png")
    renamed = listing(root)
    picture(root / "b" / "new.png")
    assert len({found["digest"] for found in (first, touched, renamed, listing(root))}) == 4


def test_an_image_that_grew_within_the_same_nanosecond_is_another(tmp_path: Path) -> None:
    """Copying tools put times back."""
    root = folder(tmp_path, {"a": 1, "b": 1})
    first, image = listing(root), root / "a" / "000.png"
    time = image.stat().st_mtime_ns
    image.write_bytes(image.read_bytes() + b"x")
    os.utime(image, ns=(time, time))
    assert listing(root)["digest"] != first["digest"]


def test_links_may_lead_within_the_root_and_out_of_it_only_where_asked_for(tmp_path: Path) -> None:
    root = folder(tmp_path / "root", {"a": 1, "b": 1})
    (root / "b" / "again.png").symlink_to(root / "a" / "000.png")
    assert listing(root)["count"] == 3
    picture(tmp_path / "private.png")
    (root / "b" / "out.png").symlink_to(tmp_path / "private.png")
    with pytest.raises(UserError, match=r"out.png under data.root is a link out of it, to .*private.png"):
        listing(root)
    assert listing(root, links=True)["count"] == 4


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone cannot be read \(No such file or directory\): set data.root"):
        listing(tmp_path / "gone")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file cannot be read \(Not a directory\): set data.root"):
        listing(tmp_path / "file")


def test_empty_and_single_class_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"too few class folders \(0, and two are the least\)"):
        listing(tmp_path)
    folder(tmp_path, {"only": 2})
    with pytest.raises(UserError, match=r"too few class folders \(1, and two are the least\)"):
        listing(tmp_path)


def test_a_class_without_images_is_named(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("about")
    with pytest.raises(UserError, match=r"class folder .*empty holds no image"):
        listing(tmp_path)


@pytest.mark.parametrize(("part", "has", "lacks"), [("train", "train", "VAL"), ("VAL", "VAL", "train")])
def test_classes_that_differ_are_named(tmp_path: Path, part: str, has: str, lacks: str) -> None:
    folder(tmp_path / "train", {"a": 1, "b": 1})
    folder(tmp_path / "VAL", {"a": 1, "b": 1})
    folder(tmp_path / part, {"odd": 1})
    with pytest.raises(UserError, match=rf"class 'odd' in {has}/ and not in {lacks}/"):
        listing(tmp_path)


def test_a_link_to_a_folder_that_it_lies_in_is_named(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a")
    with pytest.raises(UserError, match=r"again under data.root is a link to a folder that it lies in"):
        listing(tmp_path)


def test_a_dangling_link_is_named(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "a" / "link.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(UserError, match=r"link.png under data.root is a link that leads nowhere"):
        listing(tmp_path)


def test_planning_and_preparing_import_no_torch() -> None:
    code = (
        "import sys, pipeline.data.listing; assert 'numpy' not in sys.modules; "
        "import pipeline.data.prepare, pipeline.data.prepared; "
        "print({'torch', 'torchvision', 'sklearn', 'PIL'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
