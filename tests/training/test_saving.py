"""Saving beside the training: what is written, when it is waited for, and where a failure arrives."""

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load
from torch import Tensor

from pipeline.base.paths import DATA
from pipeline.base.signals import Stopped
from pipeline.config import params
from pipeline.console.errors import explain
from pipeline.data.prepare import prepare
from pipeline.training.loop import Training
from pipeline.training.saving import Saver
from pipeline.training.snapshot import TYPES, Snapshot
from pipeline.training.state import State, facts
from tests.training import runs

CPU = torch.device("cpu")
PATIENCE = 20.0


class Held(State):
    """Writes nothing before it is let; records that it was called."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.begun = threading.Event()
        self.let = threading.Event()
        self.saves = 0

    def save(self, *parts: bytes | memoryview) -> None:
        self.begun.set()
        assert self.let.wait(PATIENCE)
        self.saves += 1
        super().save(*parts)


class Failing(State):
    """A disk that is full."""

    def save(self, *parts: bytes | memoryview) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.current))


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Specs, and their data in the current folder."""
    folder = tmp_path_factory.mktemp("furnished")
    with runs.inside(folder):
        specs = runs.planned(folder)
        DATA.parent.mkdir(parents=True)
        prepare(params.read(folder / "params.yaml").data, folder, 0, DATA)
        yield specs


def run(training: Training, state: State, every: float) -> None:
    training.run(state, runs.validate, lambda row: None, pytest.fail, every)


def at_step(training: Training, number: int, what: Callable[[], object]) -> None:
    """Call `what` at the beginning of that step, counted from 1 over all epochs."""
    learner, calls = training.learners[0], 0
    forward = learner.forward

    def counted(x_BCHW: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == number:
            what()
        return forward(x_BCHW)

    learner.forward = counted


def saved(state: State) -> tuple[dict[str, Tensor], dict[str, Any]]:
    body = state.load(pytest.fail)
    assert body is not None
    return load(body), facts(body)


def test_a_snapshot_is_a_safetensors_file_of_every_type_and_layout() -> None:
    drawn = torch.Generator().manual_seed(0)
    tensors = {str(kind): torch.randint(0, 2, (3, 5), generator=drawn).to(kind) for kind in TYPES}
    tensors["last"] = torch.randn(2, 3, 4, 5, generator=drawn).to(memory_format=torch.channels_last)
    tensors |= {"one": torch.tensor(3.0), "none": torch.empty(0, 4), "odd": torch.ones(3, dtype=torch.uint8)}
    snapshot = Snapshot(CPU)
    snapshot.take(tensors, {"epoch": 3})
    body = b"".join(snapshot.body())
    found = load(body)
    assert facts(body) == {"epoch": 3}
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name


def test_what_is_written_is_of_the_moment_of_the_save(tmp_path: Path) -> None:
    """Neither a later step nor the next save reaches into a snapshot that is being written."""
    state = Held(tmp_path)
    weight = torch.zeros(1000)
    with Saver(state, CPU, every=1e9) as saver:
        saver.save({"weight": weight}, {"step": 1})
        assert not saver.is_free()
        weight += 1
        second = threading.Thread(target=saver.save, args=({"weight": weight}, {"step": 2}))
        second.start()
        second.join(0.1)
        waited = second.is_alive()
        state.let.set()
        second.join(PATIENCE)
        saver.wait()
        assert saver.is_free()
    assert waited, "its memory is in use"
    assert saved(state)[1] == {"step": 2} and bool((saved(state)[0]["weight"] == 1).all())
    before = State(tmp_path)
    before.current = state.previous
    assert saved(before)[1] == {"step": 1} and not saved(before)[0]["weight"].any()


def test_training_goes_on_while_a_state_is_written(furnished: dict[str, Any], tmp_path: Path) -> None:
    training, state = runs.training(furnished["baseline"]), Held(tmp_path)
    # The first step's state is held until the sixth: those that come due in between are left out, not waited for.
    at_step(training, 6, state.let.set)
    run(training, state, every=1e-9)
    assert state.begun.is_set()
    assert 2 <= state.saves <= 1 + 3 + 1, "the first, those of steps 6 to 8 at most, the last"
    assert saved(state)[1]["position"]["epoch"] == runs.EPOCHS, "the last one is waited for"


def test_with_zero_seconds_every_step_is_on_the_disk_before_the_next(furnished: dict[str, Any], tmp_path: Path) -> None:
    training, state = runs.training(furnished["baseline"]), Held(tmp_path)
    state.let.set()
    at_step(training, 4, lambda: found.append(State(tmp_path).progress()))
    found: list[Any] = []
    run(training, state, every=0.0)
    assert found[0]["position"]["step"] == 3
    assert state.saves == runs.EPOCHS * training.steps + 1


def test_a_failed_write_ends_the_training_at_the_next_step(
    furnished: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at_once(thread: ThreadPoolExecutor, write: Callable[[], None]) -> Future[None]:
        written = submit(thread, write)
        written.exception()
        return written

    submit = ThreadPoolExecutor.submit
    monkeypatch.setattr(ThreadPoolExecutor, "submit", at_once)
    training = runs.training(furnished["baseline"])
    with pytest.raises(OSError) as failed:
        run(training, Failing(tmp_path), every=1e-9)
    assert explain(failed.value) == (
        f"the disk is full ({tmp_path / 'state'}): free some space and run again; finished work and progress are kept"
    )
    assert (training.at.epoch, training.at.step) == (0, 2)


def test_asked_to_stop_it_says_that_progress_is_saved_only_when_it_is(
    furnished: dict[str, Any], tmp_path: Path
) -> None:
    def stop() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Timer(0.2, state.let.set).start()

    training, state = runs.training(furnished["baseline"]), Held(tmp_path)
    at_step(training, 3, stop)
    with pytest.raises(Stopped):
        run(training, state, every=1e9)
    assert saved(state)[1]["position"]["step"] == 3
    training = runs.training(furnished["baseline"])
    at_step(training, 3, stop)
    with pytest.raises(OSError, match="No space"):
        run(training, Failing(tmp_path / "full"), every=1e9)


def test_nobody_leaves_while_it_writes(tmp_path: Path) -> None:
    """The lock of the state would be let go of, and another process would write there, too."""
    state = Held(tmp_path)
    with pytest.raises(KeyError), Saver(state, CPU, every=1e9) as saver:
        saver.save({"weight": torch.zeros(1)}, {})
        threading.Timer(0.2, state.let.set).start()
        raise KeyError
    assert state.saves == 1


def test_on_a_gpu_memory_is_pinned_and_only_the_thread_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    class Event:
        def record(self, stream: str) -> None:
            done.append(f"recorded in {stream}")

        def synchronize(self) -> None:
            done.append("waited")

    def empty(*size: int, pin_memory: bool = False, **more: Any) -> Tensor:
        done.extend(["pinned"] * pin_memory)
        return make(*size, **more)

    def copy(self: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
        done.append("copied" if non_blocking else "copied and waited")
        return put(self, source)

    make, put = torch.empty, Tensor.copy_
    monkeypatch.setattr(torch, "empty", empty)
    monkeypatch.setattr(Tensor, "copy_", copy)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"the stream of {device}")
    snapshot = Snapshot(torch.device("cuda:1"))
    for _ in range(2):
        snapshot.take({"weight": torch.ones(3), "bias": torch.ones(1)}, {})
        done.append("went on")
        snapshot.body()
    copying = ["copied", "copied", "recorded in the stream of cuda:1", "went on", "waited"]
    assert done == ["pinned", *copying, *copying]
