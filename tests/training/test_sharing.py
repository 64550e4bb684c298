"""A remote that fails in whatever way changes no byte and stops no training; what it has is used where it is whole."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from dvc_objects.fs.local import LocalFileSystem

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import DATA, PLAN
from pipeline.config import params
from pipeline.data.prepare import prepare
from pipeline.dvc.remote import RemoteFolder, remote_folder
from pipeline.dvc.training_state import VARIABLE
from pipeline.planning.specs import sharing as asked
from pipeline.planning.specs.slots import CarrySpec
from pipeline.planning.specs.spec import read_spec, write_specs
from pipeline.planning.specs.training import TrainSpec
from pipeline.training import sharing
from pipeline.training.learn import learn
from pipeline.training.shared_snapshots import named
from pipeline.training.sharing import Sharing, place
from pipeline.training.state import holding
from tests.scratch import ROOT, wait
from tests.training import runs
from tests.training.hosts import KEY, Hosts, body

SLOW = 0.3  # seconds


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often at what is saved, and wait at the end without a word, however busy the machine is."""
    monkeypatch.setattr(sharing, "APART", 0.05)
    monkeypatch.setattr(sharing, "AGAIN", 0.05)
    monkeypatch.setattr(sharing, "SOON", 60.0)


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace with specs and data, a DVC repository with a remote, and what a training without it leaves."""
    folder = tmp_path_factory.mktemp("furnished")
    with runs.inside(folder):
        write_specs(runs.planned(folder, {"machine": {"state_every": 0}}), PLAN)
        DATA.parent.mkdir(parents=True)
        prepare(params.read(folder / "params.yaml").data, folder, 0, DATA)
        (folder / ".dvc").mkdir()
        (folder / ".dvc" / "config").write_text("[core]\n    remote = r\n['remote \"r\"']\n    url = ../remote\n")
        yield folder


@contextmanager
def on(furnished: Path, host: Path) -> Iterator[None]:
    """Work there with the training state of a host."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(furnished)
        patch.setenv(VARIABLE, str(host))
        yield


def trained(furnished: Path, host: Path, remote: RemoteFolder | None, said: list[str]) -> dict[str, bytes]:
    """What the baseline leaves, timings apart."""
    with on(furnished, host):
        shared = Sharing("baseline", remote, host, said.append) if remote else nullcontext()
        with shared:
            learn(read_spec("baseline", TrainSpec))
            left = Path("artifacts/baseline")
            found = {path.relative_to(left).as_posix(): path.read_bytes() for path in left.rglob("*") if path.is_file()}
    assert "model.safetensors" in found
    return found


@pytest.fixture(scope="module")
def undisturbed(furnished: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return trained(furnished, tmp_path_factory.mktemp("host"), None, [])


def test_a_training_is_put_there_while_it_runs_and_used_elsewhere(
    furnished: Path, undisturbed: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with on(furnished, tmp_path / "first"):
        remote = remote_folder().below(f"baseline/{place('baseline')}")
    said: list[str] = []
    assert trained(furnished, tmp_path / "first", remote, said) == undisturbed
    assert said == []
    assert (tmp_path / "first").is_dir() and Path(remote.path).is_relative_to(furnished / "remote" / "training-state")
    assert any(each.is_finished for each in map(named, remote.names()) if each)
    assert trained(furnished, tmp_path / "second", remote, said) == undisturbed
    assert said == [
        "baseline: the state in the remote is further and used: epoch 3, step 1",
        "baseline: 3 views of labels come from the remote",
    ]
    assert "training was finished before" in capsys.readouterr().out


class Broken(RemoteFolder):
    """A remote in which something fails."""

    def names(self) -> list[str]:
        raise OSError(5, "Input/output error")

    def write(self, name: str, file: Any, size: int) -> None:
        raise OSError(30, "Read-only file system")


class ReadOnly(RemoteFolder):
    """A remote that can be read."""

    def write(self, name: str, file: Any, size: int) -> None:
        raise OSError(30, "Read-only file system")


REFUSED = (
    "baseline: the remote does not take what is saved (OSError: [Errno 30] Read-only file system): it goes on without"
)
LACKS = "baseline: the remote lacks what was saved last"


@pytest.mark.parametrize("kind", ["gone", "broken", "read-only"])
def test_a_remote_that_fails_is_a_sentence_and_no_byte(
    furnished: Path, undisturbed: dict[str, bytes], tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "remote"
    path.write_text("a file where a folder was")
    remotes = {"gone": RemoteFolder, "broken": Broken, "read-only": ReadOnly}
    said: list[str] = []
    assert trained(furnished, tmp_path / "host", remotes[kind](LocalFileSystem(), str(path)), said) == undisturbed
    if kind == "broken":
        assert said.pop(0) == (
            "baseline: nothing comes from the remote (OSError: [Errno 5] Input/output error): what lies here is used"
        )
    if kind == "gone":
        assert said.pop(0).startswith("baseline: the remote does not take what is saved (")
        assert said == [LACKS]
    else:
        assert said == [REFUSED, LACKS]


def test_a_remote_that_recovers_has_the_newest(
    remote: RemoteFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "host"))
    writes, said, write = 0, list[str](), RemoteFolder.write

    def failing(self: RemoteFolder, name: str, file: Any, size: int) -> None:
        nonlocal writes
        writes += 1
        if writes < 3:
            raise OSError("no route to host")
        write(self, name, file, size)

    monkeypatch.setattr(RemoteFolder, "write", failing)
    with Sharing("teacher", remote, tmp_path / "host", said.append), holding("teacher", KEY, pytest.fail) as state:
        state.save(body(1))
        wait("the first sentence", lambda: len(said) == 1)
        state.save(body(2))
        wait("the second sentence", lambda: len(said) == 2)
    assert said == [
        "teacher: the remote does not take what is saved (OSError: no route to host): it goes on without",
        "teacher: the remote takes what is saved again",
    ]
    assert {each.at for each in map(named, remote.names()) if each} == {(2, 0)}


def test_a_remote_that_was_given_nothing_has_not_recovered(
    remote: RemoteFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A saved state may be away for a moment, and then there is nothing to put there."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "host"))
    said, looks, look = list[str](), 0, Sharing._send

    def looking(self: Sharing) -> None:
        nonlocal looks
        look(self)
        looks += 1

    monkeypatch.setattr(Sharing, "_send", looking)
    broken = ReadOnly(remote.system, remote.path)
    with Sharing("teacher", broken, tmp_path / "host", said.append), holding("teacher", KEY, pytest.fail) as state:
        state.save(body(1))
        wait("the sentence", lambda: len(said) == 1)
        state.current.unlink()
        seen = looks
        wait("two more looks", lambda: looks > seen + 1)
        assert said == ["teacher" + REFUSED.removeprefix("baseline")]
    assert said[1:] == ["teacher" + LACKS.removeprefix("baseline")]


class Stuck(RemoteFolder):
    """A remote that does not answer before it is let."""

    let = threading.Event()

    def names(self) -> list[str]:
        assert self.let.wait(60)
        return super().names()


def test_a_remote_that_does_not_answer_is_not_waited_for(
    furnished: Path, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "PATIENCE", SLOW)
    said: list[str] = []
    remote = Stuck(LocalFileSystem(), str(tmp_path / "remote"))
    try:
        assert trained(furnished, tmp_path / "host", remote, said) == undisturbed
        assert said == ["baseline: the remote has not answered for 0 s: what lies here is used"]
    finally:
        remote.let.set()


def test_a_remote_that_answers_late_takes_what_is_saved_and_brings_nothing(
    hosts: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "PATIENCE", SLOW)
    monkeypatch.setattr(Stuck, "let", threading.Event())
    monkeypatch.setenv(VARIABLE, str(tmp_path / "host"))
    hosts("first").save(body(5))
    said: list[str] = []
    remote = Stuck(LocalFileSystem(), str(tmp_path / "remote"))
    with Sharing("teacher", remote, tmp_path / "host", said.append), holding("teacher", KEY, pytest.fail) as state:
        assert state.load(pytest.fail) is None
        state.save(body(1))
        remote.let.set()
        wait("it to be there", lambda: len(RemoteFolder.names(remote)) == 2)
        assert state.load(pytest.fail) == body(1)
    assert said == ["teacher: the remote has not answered for 0 s: what lies here is used"]


def test_an_upload_in_flight_is_waited_for_with_a_bound(
    tmp_path: Path, remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "SOON", 0.05)
    monkeypatch.setattr(sharing, "PATIENCE", SLOW)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "host"))
    let, begun, write = threading.Event(), threading.Event(), RemoteFolder.write

    def slow(self: RemoteFolder, name: str, file: Any, size: int) -> None:
        begun.set()
        assert let.wait(60)
        write(self, name, file, size)

    monkeypatch.setattr(RemoteFolder, "write", slow)
    said: list[str] = []

    def share(until: Callable[[], object]) -> None:
        with Sharing("teacher", remote, tmp_path / "host", said.append), holding("teacher", KEY, pytest.fail) as state:
            state.save(body(len(said) + 1))
            assert begun.wait(60)
            until()

    waits = "teacher: waits up to 0 s for the remote to take what was saved last"
    try:
        share(lambda: None)
        assert said == [waits, "teacher: the remote lacks what was saved last"]
        assert remote.names() == []
    finally:
        monkeypatch.setattr(sharing, "PATIENCE", 60.0)
        share(lambda: threading.Timer(0.2, let.set).start())
    assert said[2:] == ["teacher: waits up to 60 s for the remote to take what was saved last"]
    assert (3, 0) in {each.at for each in map(named, remote.names()) if each}


def test_what_others_hold_or_held_before_is_not_put_there(
    tmp_path: Path, remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In containers each process may have the number of the one before. Nothing is put there before the end."""
    monkeypatch.setattr(sharing, "APART", 600.0)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "host"))
    others, before, again, new = (letter * 64 for letter in "abcd")
    for key in (others, before, again):
        with holding("teacher", key, pytest.fail) as state:
            state.save(body(1))
        os.utime(state.folder / "lock", (10**9, 10**9))
    with Sharing("teacher", remote, tmp_path / "host", pytest.fail):
        (tmp_path / "host" / "teacher" / others / "lock").write_text("1")
        for key in (again, new):
            with holding("teacher", key, pytest.fail) as state:
                state.save(body(2))
    assert [each.folder for each in map(named, remote.names()) if each] == [again, new]


def test_a_folder_that_is_taken_in_the_second_of_the_start_is_shared(
    hosts: Hosts, tmp_path: Path, remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as a file system with whole seconds can tell."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "host"))
    hosts("first").save(body(1))
    lock = tmp_path / "host" / "teacher" / KEY / "lock"
    with Sharing("teacher", remote, tmp_path / "host", lambda sentence: None):
        begun = lock.stat().st_mtime_ns
        with holding("teacher", KEY, pytest.fail) as state:
            state.save(body(2))
        os.utime(lock, ns=(begun, begun))
    assert {each.epoch for each in map(named, remote.names()) if each} == {1, 2}


OFF = """
import sys, threading
import stages.__main__ as stages
import pipeline.training.stage as stage
late = lambda: [name for name in sys.modules if name.split(".")[0] == "dvc" or "pipeline" in name and "shar" in name]
def advance(name): print(sorted(late()), [each.name for each in threading.enumerate()])
stage.advance = advance
stages._advance("teacher")
"""


def test_off_nothing_of_it_is_there(tmp_path: Path) -> None:
    """No thread, no code of it and none of DVC's, whatever remote there is; only the question whether it is on."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    remote = missing\n")
    environment = {key: value for key, value in os.environ.items() if key != asked.VARIABLE} | {"PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-c", OFF]
    said = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert said == "['pipeline.planning.specs.sharing'] ['MainThread']\n"
    refused = subprocess.run(
        run, cwd=tmp_path, env=environment | {asked.VARIABLE: "1"}, capture_output=True, text=True, check=False
    )
    assert "plan/teacher.json is missing" in refused.stderr, "on it is asked for"


def test_a_carried_slot_asks_no_remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_specs({"refinery/g2": CarrySpec(node="refinery/g2", previous="refinery/g1", code={})}, PLAN)
    with sharing.sharing("refinery/g2"):
        assert "sharing" not in [each.name for each in threading.enumerate()]


@pytest.mark.parametrize(
    ("planned", "given", "found"),
    [(True, None, True), (None, None, False), (True, "0", False), (None, "1", True), (True, "1", True)],
)
def test_plan_or_the_environment_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planned: bool | None, given: str | None, found: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(asked.VARIABLE, raising=False)
    if planned:
        write_specs({asked.NAME: asked.SharingSpec(share_state=True)}, PLAN)
    if given:
        monkeypatch.setenv(asked.VARIABLE, given)
    assert asked.is_asked() is found
    monkeypatch.setenv(asked.VARIABLE, "yes")
    with pytest.raises(UserError, match="COHOBATE_SHARE_STATE must be 0 or 1, not 'yes'"):
        asked.is_asked()


def test_params_decide_the_place_of_a_stage_and_where_weights_lie_does_not(furnished: Path, tmp_path: Path) -> None:
    with on(furnished, tmp_path):
        before = place("baseline")
        path = PLAN / "baseline.json"
        text = path.read_text()
        spec = json.loads(text)
        spec.pop("seal")

        def changed(**changes: Any) -> str:
            files.write_sealed(path, {**spec, **changes})
            return place("baseline")

        try:
            given = {"file": "a.safetensors", "sha256": KEY}
            assert changed() == before
            assert changed(weights=given) == changed(weights={**given, "file": "b.safetensors"}) != before
            assert changed(weights={**given, "sha256": "b" * 64}) != changed(weights=given)
            assert changed(teacher="baseline") != before
        finally:
            path.write_text(text)
