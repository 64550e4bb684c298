"""Saved training state survives whatever happens to its file."""

import fcntl
import json
import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save

from pipeline.dvc.training_state import VARIABLE, state_root
from pipeline.training.state import State, facts, holding


def body(**content: Any) -> bytes:
    return save({}, {"facts": json.dumps(content)})


def test_round_trip(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert state.load(pytest.fail) is None
    state.save(body(epoch=1))
    assert state.progress() is None, "it is of no training"
    content = {"position": {"epoch": 2}, "epochs": 3}
    state.save(body(**content))
    loaded = state.load(pytest.fail)
    assert loaded is not None and facts(loaded) == content
    assert state.progress() == content


def test_every_torn_write_falls_back_to_the_last_good_state(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.save(body(epoch=1))
    state.save(body(epoch=2))
    whole = state.current.read_bytes()
    for length in range(len(whole)):
        state.current.write_bytes(whole[:length])
        logged: list[str] = []
        loaded = state.load(logged.append)
        assert loaded is not None and facts(loaded) == {"epoch": 1}
        assert len(logged) == 1
    state.current.unlink()
    loaded = state.load(pytest.fail)
    assert loaded is not None and facts(loaded) == {"epoch": 1}


def test_a_failed_write_keeps_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = State(tmp_path)
    state.save(body(epoch=1))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        state.save(body(epoch=2))
    monkeypatch.undo()
    loaded = state.load(pytest.fail)
    assert loaded is not None and facts(loaded) == {"epoch": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state"]


def test_a_power_cut_finds_this_state_or_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Content is flushed whole before a rename makes it count, and the folder after it, so that the rename stays."""
    state = State(tmp_path)
    state.save(body(epoch=1))
    events: list[tuple[str, int, int]] = []
    fsync, replace = os.fsync, os.replace

    def flushing(descriptor: int) -> None:
        fsync(descriptor)
        found = os.fstat(descriptor)
        events.append(("flush", found.st_ino, found.st_size))

    def renaming(source: Path, target: Path) -> None:
        replace(source, target)
        events.append((target.name, target.stat().st_ino, 0))

    monkeypatch.setattr(os, "fsync", flushing)
    monkeypatch.setattr(os, "replace", renaming)
    state.save(body(epoch=2))
    found = state.current.stat()
    flushed = events.index(("flush", found.st_ino, found.st_size))
    renamed = events.index(("state", found.st_ino, 0))
    assert flushed < renamed
    assert "flush" in [what for what, inode, _ in events[renamed:] if inode == tmp_path.stat().st_ino]


def _hold(root: str, ready: Event, release: Event) -> None:
    os.environ[VARIABLE] = root
    with holding("node", "key", print):
        ready.set()
        release.wait(60)


@pytest.fixture
def holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[SpawnProcess, Event]]:
    """Another process that holds the training state until it is released."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(str(tmp_path), ready, release))
    other.start()
    assert ready.wait(60)
    yield other, release
    if other.is_alive():  # an event waits for ever on a killed process that waited for it
        release.set()
    other.join()


def test_a_second_process_waits_and_says_for_whom(holder: tuple[SpawnProcess, Event]) -> None:
    other, release = holder
    logged: list[str] = []

    def note(sentence: str) -> None:
        logged.append(sentence)
        release.set()

    with holding("node", "key", note):
        assert logged == [f"node is being trained by process {other.pid}: waiting for its result"]


def test_the_lock_goes_with_the_process_that_held_it(holder: tuple[SpawnProcess, Event]) -> None:
    other, _ = holder
    other.kill()
    other.join()
    with (
        holding("node", "key", pytest.fail) as state,
        (state.folder / "lock").open() as lock,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_root_is_beside_the_cache_that_dvc_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "repository" / ".dvc").mkdir(parents=True)
    (tmp_path / "repository" / "below").mkdir()
    monkeypatch.chdir(tmp_path / "repository" / "below")
    assert state_root() == tmp_path / "repository" / ".dvc" / "training-state"
    cache = tmp_path / "elsewhere" / "cache"
    (tmp_path / "repository" / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {cache}\n")
    assert state_root() == tmp_path / "elsewhere" / "training-state"
