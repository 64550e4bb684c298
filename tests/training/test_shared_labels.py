"""Whole views of labels come from a remote, and follow those that are here."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from pipeline.dvc.remote import RemoteFolder
from pipeline.dvc.training_state import VARIABLE
from pipeline.labels.parts import PARTS, WHOLE
from pipeline.labels.store import view_path
from pipeline.training import shared_labels
from pipeline.training.bringing import Bringing
from pipeline.training.folders import contents
from pipeline.training.labelling import kept_parts
from pipeline.training.shared_labels import LabelSender
from tests.training.hosts import ELSEWHERE, HERE, KEY


def labelled(root: Path, environment: dict[str, Any], *views: bytes, finished: bool = False) -> Path:
    """Labels of a node below `root`, of these views."""

    class Killed(Exception):
        pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(root))
        try:
            with kept_parts("teacher", KEY, environment) as parts:
                lines = []
                for v, view in enumerate(views):
                    view_path(parts, v).write_bytes(view)
                    lines.append(f"{v} {len(view)} {hashlib.sha256(view).hexdigest()}\n")
                (parts / WHOLE).write_text("".join(lines))
                if not finished:
                    raise Killed
        except Killed:
            pass
    return root / "labels" / "teacher" / KEY


def send_labels(remote: RemoteFolder, folder: Path) -> None:
    LabelSender(remote, set()).send(folder.parent, folder)


def bring_labels(remote: RemoteFolder, root: Path, said: list[str]) -> dict[str, bytes]:
    """The files that lie there then."""
    known = {each for each in map(shared_labels.named, remote.names()) if each}
    shared_labels.bring(remote, known, root / "labels" / "teacher", Bringing(), said.append)
    folder = root / "labels" / "teacher" / KEY
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_whole_views_come_and_those_here_stay(remote: RemoteFolder, tmp_path: Path) -> None:
    there = labelled(tmp_path / "first", HERE, b"zero", b"one", b"two")
    send_labels(remote, there)
    expected = {path.relative_to(there).as_posix(): path.read_bytes() for path in there.rglob("*") if path.is_file()}
    expected.pop("lock")
    said: list[str] = []
    assert bring_labels(remote, tmp_path / "second", said) == expected
    labelled(tmp_path / "third", HERE, b"zero")
    assert bring_labels(remote, tmp_path / "third", said) == expected
    before = labelled(tmp_path / "fourth", HERE, b"zero", b"one", b"two", b"three")
    assert bring_labels(remote, tmp_path / "fourth", said)[f"{PARTS}/view_003.safetensors"] == b"three"
    assert len((before / PARTS / WHOLE).read_text().splitlines()) == 4
    assert said == ["3 views of labels come from the remote", "2 views of labels come from the remote"]


def test_labels_of_another_environment_do_not_come_to_those_here(remote: RemoteFolder, tmp_path: Path) -> None:
    send_labels(remote, labelled(tmp_path / "first", ELSEWHERE, b"zero", b"one"))
    labelled(tmp_path / "second", HERE, b"0000")
    said: list[str] = []
    assert bring_labels(remote, tmp_path / "second", said)[f"{PARTS}/view_000.safetensors"] == b"0000"
    assert said == []


def test_a_damaged_view_is_named_and_those_before_it_are_used(remote: RemoteFolder, tmp_path: Path) -> None:
    send_labels(remote, labelled(tmp_path / "first", HERE, b"zero", b"one", b"two"))
    (path,) = (tmp_path / "remote").rglob("view-1-*")
    path.write_bytes(b"onf")
    said: list[str] = []
    came = bring_labels(remote, tmp_path / "second", said)
    assert [name for name in came if "view" in name] == [f"{PARTS}/view_000.safetensors"]
    assert came[f"{PARTS}/{WHOLE}"].decode().startswith("0 4 ") and came[f"{PARTS}/{WHOLE}"].count(b"\n") == 1
    assert len(said) == 1 and said[0].endswith(f"{path.name} in the remote is damaged: it is not used")


def test_a_basis_comes_with_the_views_that_are_encoded_in_it(remote: RemoteFolder, tmp_path: Path) -> None:
    there = labelled(tmp_path / "first", HERE, b"zero")
    for name, content in (("basis.safetensors", b"fitted"), ("basis", hashlib.sha256(b"fitted").hexdigest().encode())):
        (there / PARTS / name).write_bytes(content)
    send_labels(remote, there)
    came = bring_labels(remote, tmp_path / "second", [])
    assert came[f"{PARTS}/basis.safetensors"] == b"fitted"
    assert came[f"{PARTS}/basis"] == (there / PARTS / "basis").read_bytes()
    folder = tmp_path / "second" / "labels" / "teacher" / KEY
    (folder / PARTS / ".shared.1.tmp").write_bytes(b"left by a process that was killed")
    found = contents(folder, tmp_path / "second")
    assert found is not None and len(found) == len(came) + 2, "gc knows all of it"
    send_labels(remote, labelled(tmp_path / "third", HERE, b"zero", b"one"))
    assert f"{PARTS}/.shared.1.tmp" not in bring_labels(remote, tmp_path / "second", [])


def test_labels_say_in_the_remote_when_they_are_finished(remote: RemoteFolder, tmp_path: Path) -> None:
    def names() -> list[str]:
        return [each.what for each in map(shared_labels.named, remote.names()) if each]

    send_labels(remote, labelled(tmp_path / "first", HERE, b"zero"))
    assert sorted(names()) == ["environment", "view-0"]
    send_labels(remote, labelled(tmp_path / "first", HERE, b"zero", b"one", finished=True))
    assert sorted(names()) == ["environment", "finished", "view-0", "view-1"]
