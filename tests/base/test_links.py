import os
from pathlib import Path

import pytest

from pipeline.base import links


def test_a_file_is_at_two_places_with_its_bytes_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 9000)
    links.link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"x" * 9000
    shared = links.reflink(tmp_path / "a", tmp_path / "c")
    assert (tmp_path / "c").exists() == shared
    assert shared or (tmp_path / "a").samefile(tmp_path / "b")


def test_where_no_link_can_be_made_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*given: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr(links.fcntl, "ioctl", refused)
    (tmp_path / "a").write_bytes(b"abc")
    links.link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"abc"
    assert not (tmp_path / "a").samefile(tmp_path / "b")


def test_what_lies_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        links.link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"mine"
