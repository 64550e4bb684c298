"""Who waits for DVC's queue ends where nobody works on it any more, and leaves nothing running."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.base.errors import UserError
from pipeline.dvc import queue
from tests.scratch import Scratch

NEVER_ENDS = ("sleep", "600")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where DVC writes of its workers, in a repository that we are in; nobody is waited for long."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(queue, "EVERY", 0.05)
    monkeypatch.setattr(queue, "PATIENCE", 0.4)
    monkeypatch.setattr(queue, "FOLLOW", NEVER_ENDS)
    folder = tmp_path / ".dvc" / queue.WORKERS
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def worker(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like a worker of the queue."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "queue-worker"])
    (folder / "dvc-exp-worker-1.json").write_text(json.dumps({"pid": process.pid, "returncode": None}))
    (folder / "dvc-exp-worker-1.out").write_text("why")
    yield process
    process.kill()
    process.wait()


def left() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if each.cmdline()[: len(NEVER_ENDS)] == [*NEVER_ENDS]]


def test_without_a_worker_the_wait_ends_in_a_sentence_and_leaves_no_process(folder: Path) -> None:
    with pytest.raises(UserError, match="none of its workers is alive, and not all experiments have run"):
        queue.run(1)
    assert not left()


def test_while_a_worker_lives_we_wait_and_once_it_is_dead_no_longer(
    worker: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert queue.workers() == [worker.pid]
    monkeypatch.setattr(queue, "FOLLOW", ("sleep", "1.2"))  # and jobs: 1.2 s + 0 s
    queue.run(0)
    monkeypatch.setattr(queue, "FOLLOW", NEVER_ENDS)
    worker.kill()
    worker.wait()
    with pytest.raises(UserError, match=r"dvc-exp-worker-1\.out may say why"):
        queue.run(1)
    assert not left()


@pytest.mark.parametrize("content", ["", "{", '{"pid": null}', '{"pid": "x"}', "[]", f'{{"pid": {2**40}}}'])
def test_what_is_no_record_of_a_worker_is_none(folder: Path, content: str) -> None:
    (folder / "dvc-exp-worker-1.json").write_text(content)
    assert queue.workers() == []


def test_another_process_of_a_dead_workers_number_is_no_worker(folder: Path) -> None:
    (folder / "dvc-exp-worker-1.json").write_text(json.dumps({"pid": psutil.Process().pid}))
    assert queue.workers() == []


def test_where_the_queue_would_die_of_the_path_it_is_not_begun(fresh: Scratch, tmp_path: Path) -> None:
    scratch = fresh.copy(tmp_path / "mit ü")
    said = scratch.run(sys.executable, "-m", "pipeline", "seeds", "--count", "2", code=1)
    assert said.startswith("error: DVC's queue cannot use a cache whose path has letters beyond ASCII (")
    assert said.count("\n") == 1
    assert not (scratch.folder / ".dvc" / queue.WORKERS).exists()
