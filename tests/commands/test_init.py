"""`cohobate init`: a folder that is a repository of the pipeline, and what is not written over."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.base import files, programs
from pipeline.base.errors import UserError
from pipeline.commands.init import FILES, init
from tests.scratch import ROOT


def test_the_files_are_those_of_the_repository_and_git_holds_them(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "mine"
    written, made, following = init(folder)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} >= {*FILES}
    for name in FILES:
        assert (folder / name).read_bytes() == (ROOT / name).read_bytes(), name
    assert (folder / ".git").is_dir() and "one now" in made
    assert written.startswith(f"{folder}: {len(FILES)} files are written, dvc.yaml, params.yaml")
    assert f"cd {folder}" in following
    ignored = subprocess.run(["git", "-C", folder, "status", "--porcelain", "-uall"], capture_output=True, text=True)
    assert {line[3:] for line in ignored.stdout.splitlines()} == {*FILES}, "none is ignored by the others"


def test_within_a_git_repository_no_other_is_made_and_what_lies_there_stays(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    folder = tmp_path / "part"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    assert len([*init(folder)]) == 2
    assert not (folder / ".git").exists() and (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_written_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=f"has {name} already: name another folder"):
        list(init(tmp_path))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_full_disk_leaves_no_half_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = files.write_bytes

    def write(path: Path, content: bytes) -> None:
        if path.name == "config":
            raise OSError(28, "No space left on device", str(path))
        real(path, content)

    monkeypatch.setattr(files, "write_bytes", write)
    with pytest.raises(OSError, match="No space"):
        list(init(tmp_path))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_without_git_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(UserError, match="git is not there: install it"):
        list(init(tmp_path / "mine"))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_git_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 128, "", "hint: x\nfatal: no templates\n")

    monkeypatch.setattr(programs, "run", run)
    with pytest.raises(UserError, match=r"its repository \(fatal: no templates\): run `git init` there"):
        list(init(tmp_path))


@pytest.mark.skipif(os.name != "posix", reason="a folder that is a link")
def test_a_folder_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    list(init(tmp_path / "link"))
    assert (tmp_path / "real" / "dvc.yaml").exists()
