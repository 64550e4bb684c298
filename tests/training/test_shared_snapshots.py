"""Of the snapshots in a remote the furthest whole one is used, and only where it is further than what is here."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.dvc.remote import RemoteFolder
from pipeline.training.bringing import Bringing, TooLate
from pipeline.training.shared_snapshots import SnapshotSender
from pipeline.training.state import State
from tests.scratch import ROOT
from tests.training.hosts import ELSEWHERE, Hosts, body


def test_the_furthest_is_brought_and_the_clock_does_not_count(hosts: Hosts, tmp_path: Path) -> None:
    first, second = hosts("first"), hosts("second")
    first.save(body(1), body(2, 7), body(10, epochs=11))
    for path in (tmp_path / "remote").rglob("*-of-*"):
        epoch = int(path.name.split("-")[0])
        os.utime(path, (10**9 - epoch, 10**9 - epoch))
    assert second.bring() == set()
    assert second.loaded() == body(10, epochs=11)
    assert second.said == ["the state in the remote is further and used: epoch 11, step 1"]


@pytest.mark.parametrize(("here", "used"), [((2, 6), True), ((2, 7), False), ((2, 8), False), ((3, 0), False)])
def test_only_what_is_further_than_here_is_read_and_used(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, here: tuple[int, int], used: bool
) -> None:
    first, second = hosts("first"), hosts("second")
    first.save(body(2, 7))
    second.folder.mkdir(parents=True)
    State(second.folder).save(body(*here))
    reads, read = list[str](), RemoteFolder.read

    def reading(self: RemoteFolder, name: str) -> Iterator[bytes]:
        reads.append(name)
        return read(self, name)

    monkeypatch.setattr(RemoteFolder, "read", reading)
    assert second.bring() == set()
    assert second.loaded() == (body(2, 7) if used else body(*here))
    assert bool(second.said) is bool(reads) is used


def test_of_another_environment_nothing_takes_the_place_of_what_is_here(hosts: Hosts) -> None:
    first, second, third = hosts("first"), hosts("second"), hosts("third")
    first.save(body(5, environment=ELSEWHERE))
    second.save(body(1))
    assert second.bring() == set() and second.loaded() == body(1)
    third.bring()
    assert third.loaded() == body(5, environment=ELSEWHERE), "training says what it does of it"


@pytest.mark.parametrize("length", [0, 31, 45, -1])
def test_a_torn_one_is_named_and_the_one_before_is_used(hosts: Hosts, tmp_path: Path, length: int) -> None:
    first, second = hosts("first"), hosts("second")
    first.save(body(1), body(2))
    (path,) = (tmp_path / "remote").rglob("2-0-of-*")
    path.write_bytes(path.read_bytes()[:length])
    assert {each.at for each in second.bring()} == {(2, 0)}
    assert second.loaded() == body(1)
    assert second.said[0].endswith(f"{path.name} in the remote is damaged: it is not used")
    assert len(second.said) == 2


def test_a_whole_one_under_the_name_of_another_is_not_used(hosts: Hosts, tmp_path: Path) -> None:
    first, second = hosts("first"), hosts("second")
    first.save(body(1), body(2))
    (one,), (two,) = ((tmp_path / "remote").rglob(f"{epoch}-0-of-*") for epoch in (1, 2))
    two.write_bytes(one.read_bytes())
    assert len(second.bring()) == 1
    assert second.loaded() == body(1)


def test_the_last_two_stay_and_what_is_further_counts_for_nothing(hosts: Hosts, tmp_path: Path) -> None:
    """A torn one that is further must not be the reason to remove whole ones."""
    first, torn, second = hosts("first"), hosts("torn"), hosts("second")
    first.save(body(1), body(2), body(3))
    assert {each.at for each in first.known()} == {(2, 0), (3, 0)}
    torn.save(body(7), body(8))
    for each in torn.known():
        if each.epoch > 3:
            (tmp_path / "remote" / each.name).write_bytes(b"torn")
    known = second.known()
    second.sender = SnapshotSender(second.remote, known, second.bring())
    assert second.loaded() == body(3)
    second.save(body(4), body(5), body(6))
    assert {each.epoch for each in first.known()} == {5, 6, 7, 8}
    second.save(body(7))
    third = hosts("third")
    assert {each.epoch for each in third.bring()} == {8}
    assert third.loaded() == body(7), "it was put there again"
    second.save(body(9), body(9, 1))
    assert {each.at for each in first.known()} == {(9, 0), (9, 1)}


def test_where_nothing_can_be_removed_the_newest_comes_all_the_same(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is needless goes as soon as it can."""

    def refuse(self: RemoteFolder, name: str) -> None:
        raise PermissionError(13, "Permission denied")

    first = hosts("first")
    with monkeypatch.context() as patch:
        patch.setattr(RemoteFolder, "remove", refuse)
        first.save(*map(body, range(4)))
    assert {each.at for each in first.known()} == {(at, 0) for at in range(4)}
    first.save(body(4))
    assert {each.at for each in first.known()} == {(3, 0), (4, 0)}


def test_what_comes_when_nobody_waits_any_more_changes_nothing(hosts: Hosts) -> None:
    first, second = hosts("first"), hosts("second")
    first.save(body(1))
    bringing = Bringing()
    bringing.give_up()
    with pytest.raises(TooLate):
        second.bring(bringing)
    assert second.loaded() is None and second.said == []


def test_where_another_process_trains_nothing_is_brought(hosts: Hosts, tmp_path: Path) -> None:
    first, second = hosts("first"), hosts("second")
    first.save(body(1))
    holder = f"""
import sys
from collections.abc import Iterator
from pathlib import Path
from pipeline.base.locks import held
with held(Path({str(second.folder)!r}), print):
    print("held", flush=True)
    sys.stdin.read()
"""
    command, pipe = [sys.executable, "-c", holder], subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        second.bring()
        assert second.loaded() is None and second.said == []
        other.communicate()
    second.bring()
    assert second.loaded() == body(1)
