"""Our folder in DVC's default remote: found as DVC finds that, and left alone by DVC."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dvc_objects.fs.local import LocalFileSystem
from dvc_objects.fs.memory import MemoryFileSystem

from pipeline.base.errors import UserError
from pipeline.dvc.remote import CHUNK, RemoteFolder, remote_folder
from tests.scratch import CONFIG, Scratch

NAMES = ("assistant/t1/0123456789abcdef/key/env/7-1-of-60-00", "teacher/0123456789abcdef/labels/key/env/view-0-1-00")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a DVC configuration; we are in a folder below."""
    (tmp_path / "repository" / ".dvc").mkdir(parents=True)
    (tmp_path / "repository" / "below").mkdir()
    monkeypatch.chdir(tmp_path / "repository" / "below")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path / "repository"


def configure(repository: Path, text: str) -> None:
    (repository / ".dvc" / "config").write_text(text)


def default(url: str) -> str:
    return f"[core]\n    remote = shared\n['remote \"shared\"']\n    url = {url}\n"


def test_a_relative_remote_is_where_dvc_finds_it_also_from_an_experiment(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(repository, default("../../remote"))
    assert remote_folder().path == str(tmp_path / "remote" / "training-state")
    (tmp_path / "experiment" / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "experiment")
    monkeypatch.setenv("DVC_ROOT", str(repository))
    assert remote_folder().path == str(tmp_path / "remote" / "training-state")


@pytest.mark.parametrize("system", [LocalFileSystem, MemoryFileSystem], ids=["folder", "object store"])
def test_files_are_written_listed_read_and_removed(tmp_path: Path, system: Callable[[], Any]) -> None:
    """An object store has no folders, and renames nothing."""
    folder = RemoteFolder(system(), f"{tmp_path}/remote")
    assert folder.names() == [], "there is no such folder yet"
    content = bytes(range(256)) * (2 * CHUNK // 256) + b"end"
    folder.below("a").write("b/c", io.BytesIO(content), len(content))
    folder.write("a/d", io.BytesIO(b"other"), 5)
    assert folder.names() == ["a/b/c", "a/d"]
    assert folder.below("a/b").names() == ["c"]
    parts = [*folder.read("a/b/c")]
    assert len(parts) == 3 and b"".join(parts) == content
    folder.write("a/d", io.BytesIO(b"new"), 3)
    assert b"".join(folder.read("a/d")) == b"new"
    for _ in range(2):
        folder.remove("a/b/c")  # another process may have
    assert folder.names() == ["a/d"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "training state is to be shared, but DVC has no default remote: add one by `dvc remote add --default"),
        (
            "[core]\n    remote = gone\n",
            r"DVC cannot use its default remote \(config file error: remote 'gone' doesn't",
        ),
        (default("s4://bucket"), r"DVC cannot use its default remote \(.*Unsupported URL type s4://"),
        (default("s3://bucket"), r"DVC cannot use its default remote \(s3 is supported, but requires 'dvc-s3'"),
        ("[core", r"DVC cannot use its default remote \(config file error"),
    ],
)
def test_without_a_remote_that_can_be_used_it_is_one_sentence(
    repository: Path, text: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dvc_s3", None)  # it may be installed, as for the tests on S3
    configure(repository, text)
    with pytest.raises(UserError, match=sentence) as refused:
        remote_folder()
    assert "\n" not in str(refused.value)


def test_without_dvc_it_is_one_sentence(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dvc.config", None)
    with pytest.raises(UserError, match="DVC is not installed here: install it"):
        remote_folder()


def test_outside_of_a_repository_it_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    with pytest.raises(UserError, match=r"no \.dvc folder here or above"):
        remote_folder()


def test_dvc_removes_its_own_from_the_remote_and_leaves_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    scratch = Scratch(tmp_path / "repository")
    scratch.folder.mkdir()
    scratch.run("dvc", "init", "--no-scm", "--quiet")
    (scratch.folder / ".dvc" / "config").write_text(
        f"{CONFIG}    no_scm = true\n    remote = shared\n['remote \"shared\"']\n    url = {tmp_path / 'remote'}\n"
    )
    for content in ("old", "new"):
        (scratch.folder / "data").write_text(content)
        scratch.run("dvc", "add", "--quiet", "data")
        scratch.run("dvc", "push", "--quiet")
    monkeypatch.chdir(scratch.folder)
    folder = remote_folder()
    for name in NAMES:
        folder.write(name, io.BytesIO(b"ours"), 4)
    of_dvc = tmp_path / "remote" / "files"
    assert len([path for path in of_dvc.rglob("*") if path.is_file()]) == 2
    scratch.run("dvc", "gc", "--workspace", "--cloud", "--force")
    assert len([path for path in of_dvc.rglob("*") if path.is_file()]) == 1
    assert folder.names() == sorted(NAMES)
    scratch.run("dvc", "push", "--quiet")
    (scratch.folder / "data").unlink()
    scratch.run("dvc", "gc", "--workspace", "--force")
    scratch.run("dvc", "pull", "--quiet")
    assert (scratch.folder / "data").read_text() == "new"
