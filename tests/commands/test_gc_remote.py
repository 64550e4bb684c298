"""`gc --remote` removes what `gc` removes here from the remote, and nothing else."""

import io
from pathlib import Path

import pytest
from dvc_objects.fs.local import LocalFileSystem
from typer.testing import CliRunner

from pipeline.__main__ import app
from pipeline.base.errors import UserError
from pipeline.commands.gc_remote import CollectedRemote, collect_remote
from pipeline.dvc.remote import RemoteFolder
from pipeline.dvc.training_state import VARIABLE

A, B, ENVIRONMENT, SEAL = "a" * 64, "b" * 64, "e" * 64, "0" * 64
PLACE = "0123456789abcdef"
FINISHED = [
    f"teacher/{PLACE}/{A}/{ENVIRONMENT}/8-3-of-9-{SEAL}",
    f"teacher/{PLACE}/{A}/{ENVIRONMENT}/9-0-of-9-{SEAL}",
    f"refinery/g1/{PLACE}/labels/{A}/{ENVIRONMENT}/environment-2-{SEAL}",
    f"refinery/g1/{PLACE}/labels/{A}/{ENVIRONMENT}/finished-0-{SEAL}",
    f"refinery/g1/{PLACE}/labels/{A}/{ENVIRONMENT}/view-0-9-{SEAL}",
]
UNFINISHED = [
    f"teacher/{PLACE}/{B}/{ENVIRONMENT}/8-3-of-9-{SEAL}",
    f"teacher/{PLACE}/labels/{A}/{ENVIRONMENT}/view-0-9-{SEAL}",
]
STRANGE = ["notes.txt", f"teacher/{PLACE}/{A}/{ENVIRONMENT}/notes.txt", f"teacher/{A}/{ENVIRONMENT}/8-3-of-9-{SEAL}"]


@pytest.fixture
def remote(tmp_path: Path) -> RemoteFolder:
    folder = RemoteFolder(LocalFileSystem(), str(tmp_path / "remote" / "training-state"))
    for name in (*FINISHED, *UNFINISHED, *STRANGE):
        folder.write(name, io.BytesIO(b"x"), 1)
    return folder


def test_finished_goes_unfinished_stays_until_asked_for_and_others_always(remote: RemoteFolder) -> None:
    assert collect_remote(remote) == CollectedRemote(files=5, removed=2, unfinished=2, strange=3)
    assert remote.names() == sorted(UNFINISHED + STRANGE)
    assert collect_remote(remote, unfinished=True) == CollectedRemote(files=2, removed=2, unfinished=0, strange=3)
    assert remote.names() == sorted(STRANGE)


def test_the_command_says_what_it_did(remote: RemoteFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    remote = r\n['remote \"r\"']\n    url = ../remote\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "state"))
    assert "remote" not in CliRunner().invoke(app, ["gc"]).output
    assert len(remote.names()) == 10
    said = CliRunner().invoke(app, ["gc", "--remote"]).output.splitlines()
    assert said[-1] == (
        "removed 2 states from the remote, 5 files; 2 unfinished stay (--unfinished removes them); "
        "3 files that are no saved training stay"
    )
    CliRunner().invoke(app, ["gc", "--remote", "--unfinished"])
    assert remote.names() == sorted(STRANGE)


def test_a_remote_that_fails_is_one_sentence(remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: RemoteFolder, name: str) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(RemoteFolder, "remove", refuse)
    with pytest.raises(UserError, match=r"^training state in the remote was not all removed \(OSError: .*Read-only"):
        collect_remote(remote)
