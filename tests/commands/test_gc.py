"""`gc` removes state that nothing goes on with, and no other."""

import json
import multiprocessing
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save

from pipeline.commands.gc import Collected, collect
from pipeline.training.labelling import kept_parts
from pipeline.training.state import VARIABLE, State, holding
from tests.scratch import Scratch, wait


def state(root: Path, name: str, epoch: int) -> Path:
    """A state that nobody holds, `epoch` of 5 epochs done."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "lock").write_text("1")
    State(folder).save(save({}, {"facts": json.dumps({"epochs": 5, "position": {"epoch": epoch}})}))
    return folder


def _hold(root: str, seconds: float) -> None:
    os.environ[VARIABLE] = root
    with holding("teacher", "key", print):
        time.sleep(seconds)


def test_finished_goes_unfinished_stays_until_asked_for(tmp_path: Path) -> None:
    finished, unfinished = state(tmp_path, "teacher/a", 5), state(tmp_path, "teacher/b", 4)
    size = sum(path.stat().st_size for path in finished.iterdir())
    assert collect(tmp_path) == Collected(removed=1, bytes=size, held=0, unfinished=1)
    assert not finished.exists()
    assert (unfinished / "state").exists()
    assert collect(tmp_path, unfinished=True).removed == 1
    assert not unfinished.exists()


def test_labels_go_when_they_are_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))

    def labels(finished: bool) -> None:
        with suppress(KeyboardInterrupt), kept_parts("teacher", "key", {"threads": 1}) as parts:
            (parts / "view_000.safetensors").write_bytes(b"12345")
            if not finished:
                raise KeyboardInterrupt

    labels(finished=False)
    assert collect(tmp_path) == Collected(0, 0, held=0, unfinished=1)
    labels(finished=True)
    labels(finished=False)
    assert collect(tmp_path) == Collected(0, 0, held=0, unfinished=1), "more views were asked for"
    labels(finished=True)
    done = collect(tmp_path)
    assert (done.removed, done.unfinished) == (1, 0) and done.bytes > 5
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_damaged_state_with_a_good_one_before_it_stays(tmp_path: Path) -> None:
    folder = state(tmp_path, "teacher/a", 4)
    os.replace(folder / "state", folder / "state.previous")
    (folder / "state").write_bytes(b"torn")
    assert collect(tmp_path) == Collected(0, 0, held=0, unfinished=1)


def test_what_a_process_holds_stays(tmp_path: Path) -> None:
    folder = state(tmp_path, "teacher/key", 5)
    process = multiprocessing.get_context("spawn").Process(target=_hold, args=(str(tmp_path), 60.0))
    process.start()
    try:
        wait("the lock", lambda: (folder / "lock").read_text() == str(process.pid))
        assert collect(tmp_path, unfinished=True) == Collected(0, 0, held=1, unfinished=0)
        assert (folder / "state").exists()
    finally:
        process.kill()
        process.join()


def test_who_waited_for_a_state_that_gc_removed_holds_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    folder = state(tmp_path, "teacher/key", 5)
    opened = Path.open

    def removed_meanwhile(self: Path, *args: Any) -> object:
        file = opened(self, *args)
        if args == ("a+",):
            monkeypatch.setattr(Path, "open", opened)
            assert collect(tmp_path).removed == 1
        return file

    monkeypatch.setattr(Path, "open", removed_meanwhile)
    with holding("teacher", "key", pytest.fail) as held:
        assert held.load(pytest.fail) is None
        assert (folder / "lock").read_text() == str(os.getpid())
        held.save(b"new")
        assert collect(tmp_path).held == 1


def test_the_command_says_how_much(copied: Scratch) -> None:
    said = copied.run("python", "-m", "pipeline", "gc")
    removed, rest = said.removeprefix("removed ").split(" states, ")
    assert int(removed) >= 9
    assert float(rest.split(" MB")[0]) > 0
    assert copied.run("python", "-m", "pipeline", "gc") == "removed 0 states, 0.0 MB\n"
