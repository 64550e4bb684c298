"""Files are whole or absent."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.base import files
from pipeline.base.errors import UserError


def test_replaces_a_file_and_a_folder(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a" / "x.json", {"b": 1, "a": [1, 2]})
    assert files.read_json(tmp_path / "a" / "x.json") == {"a": [1, 2], "b": 1}
    for content in ("old", "new"):
        with files.replacing(tmp_path / "folder") as folder:
            folder.mkdir()
            (folder / content).write_text(content)
    assert os.listdir(tmp_path / "folder") == ["new"]
    assert sorted(os.listdir(tmp_path)) == ["a", "folder"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("name", ["x", "[x]", "x*"])
def test_only_what_we_leave_behind_is_cleared_away(tmp_path: Path, name: str) -> None:
    """Files of a user may be named nearly as our temporary ones."""
    dead = 2**22 + 1  # above the kernel's largest process number
    left = [f".{name}.{dead}.tmp", f".{name}.{dead}.old.tmp"]
    others = [f".x.{dead}.tmp"] if name == "[x]" else [f".xy.{dead}.tmp"]
    others += [f".{name}.2024.notes.tmp", f".{name}.1a.tmp", f".{name}.1.tmp.tmp", f".{name}.{dead}.tmp.txt"]
    for each in (*left, *others):
        (tmp_path / each).touch()
    files.write_text(tmp_path / name, "new")
    assert sorted(os.listdir(tmp_path)) == sorted([name, *others])


def test_never_writes_into_a_linked_file(tmp_path: Path) -> None:
    """DVC may hard-link the cache into the workspace: writing in place would change the cache."""
    cached, path = tmp_path / "cached", tmp_path / "x"
    cached.write_text("old")
    os.link(cached, path)
    files.write_text(path, "new")
    assert (cached.read_text(), path.read_text()) == ("old", "new")


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.json is damaged"):
        files.read_json(tmp_path / "x.json")
    with pytest.raises(UserError, match=r"y\.json is missing"):
        files.read_json(tmp_path / "y.json")


def test_digest_is_of_the_value_not_its_order() -> None:
    assert files.digest({"a": 1, "b": 2}) == files.digest({"b": 2, "a": 1}) != files.digest({"a": 1, "b": 3})


def test_equal_values_give_equal_bytes() -> None:
    assert files.to_json({"a": {"x": 1, "y": 2}, "b": 1}) == files.to_json({"b": 1, "a": {"y": 2, "x": 1}})


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path: Path) -> None:
    """Its number is above the largest that a system gives."""
    (tmp_path / ".x.4999999.tmp").mkdir()
    (tmp_path / ".x.4999999.tmp" / "half").write_text("half")
    (tmp_path / ".x.json.4999999.tmp").write_text("another file's")
    files.write_text(tmp_path / "x", "whole")
    assert sorted(os.listdir(tmp_path)) == [".x.json.4999999.tmp", "x"]


def test_what_a_running_process_writes_stays(tmp_path: Path) -> None:
    other = tmp_path / f".x.{os.getppid()}.tmp"
    other.mkdir()
    files.write_text(tmp_path / "x", "whole")
    assert other.is_dir()


def test_two_that_write_one_folder_end_with_one_of_them_whole(tmp_path: Path) -> None:
    def write(content: str, within: Callable[[], None]) -> None:
        with files.replacing(tmp_path / "x") as folder:
            folder.mkdir()
            (folder / content).touch()
            within()

    def overtaken() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "getpid", lambda: 4999999)
            write("other", lambda: None)

    write("first", lambda: None)
    write("second", overtaken)
    assert os.listdir(tmp_path) == ["x"]
    assert os.listdir(tmp_path / "x") == ["second"]


def test_a_rename_that_fails_leaves_the_folder_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_text(tmp_path / "x" / "old", "old")
    replace = os.replace

    def fails(source: Path, target: Path) -> None:
        if not str(source).endswith(".old.tmp") and not str(target).endswith(".old.tmp"):
            raise OSError(errno.EIO, "I/O error")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="I/O error"), files.replacing(tmp_path / "x") as folder:
        folder.mkdir()
    assert os.listdir(tmp_path) == ["x"]
    assert os.listdir(tmp_path / "x") == ["old"]
