import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.base.errors import UserError
from pipeline.data.listing import listing, trees
from tests.data.folders import folder, picture


def test_one_tree_is_read_sorted_without_hidden_files_and_strangers(tmp_path: Path) -> None:
    folder(tmp_path, {"dog": 2, "cat": 3})
    (tmp_path / ".git").mkdir()
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "cat" / ".hidden.png").write_bytes(b"")
    (tmp_path / "cat" / "notes.txt").write_text("about")
    picture(tmp_path / "cat" / "A.JPEG")
    (tree,) = trees(tmp_path)
    assert list(tree) == ["cat", "dog"]
    assert [path.name for path in tree["cat"]] == ["000.png", "001.png", "002.png", "A.JPEG"]
    assert listing(tmp_path)["count"] == 6


def test_train_and_test_make_two_trees_and_a_class_may_be_called_train(tmp_path: Path) -> None:
    folder(tmp_path / "two" / "train", {"a": 2, "b": 2})
    folder(tmp_path / "two" / "test", {"a": 1, "b": 1})
    folder(tmp_path / "two" / "extra", {"a": 1})
    train, test = trees(tmp_path / "two")
    assert [len(train["a"]), len(test["a"])] == [2, 1]
    assert listing(tmp_path / "two")["count"] == 6
    folder(tmp_path / "vehicles", {"train": 2, "plane": 2})
    assert [list(tree) for tree in trees(tmp_path / "vehicles")] == [["plane", "train"]]


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


@pytest.mark.parametrize(("part", "has", "lacks"), [("train", "train", "test"), ("test", "test", "train")])
def test_classes_that_differ_are_named(tmp_path: Path, part: str, has: str, lacks: str) -> None:
    folder(tmp_path / "train", {"a": 1, "b": 1})
    folder(tmp_path / "test", {"a": 1, "b": 1})
    folder(tmp_path / part, {"odd": 1})
    with pytest.raises(UserError, match=rf"class 'odd' in {has}/ and not in {lacks}/"):
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
