"""Who waits for DVC's queue ends where nobody works on it any more, and leaves nothing running."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import yaml

from pipeline.base.errors import UserError
from pipeline.dvc import experiments, queue
from pipeline.dvc.tasks import Task
from tests.scratch import COMMIT, CONFIG, ROOT, Scratch, wait

NEVER_ENDS = (sys.executable, "-c", "import time; time.sleep(601)")


class Fake:
    """A queue that calls these running; what is given up is not."""

    def __init__(self, running: list[Task]) -> None:
        self.left = running
        self.given_up: list[str] = []

    def running(self) -> list[Task]:
        return [*self.left]

    def give_up(self, task: Task) -> None:
        self.given_up.append(task.name)
        self.left.remove(task)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where DVC writes of its workers, in a repository that we are in; nobody is waited for long."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(queue, "EVERY", 0.05)
    monkeypatch.setattr(queue, "PATIENCE", 0.4)
    monkeypatch.setattr(queue, "FOLLOW", NEVER_ENDS)
    monkeypatch.setattr(queue, "tasks", lambda: Fake([]))
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


def test_without_a_worker_the_wait_ends_in_a_sentence_on_a_line_of_its_own_and_leaves_no_process(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="none of its workers is alive, and not all experiments have run"):
        queue.run((), 1, print)
    assert not left()
    assert capsys.readouterr().out == "\n"


def test_while_a_worker_lives_we_wait_and_once_it_is_dead_no_longer(
    worker: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert queue.workers() == [worker.pid]
    monkeypatch.setattr(queue, "FOLLOW", ("sleep", "1.2"))  # and jobs: 1.2 s + 0 s
    queue.run((), 0, print)
    monkeypatch.setattr(queue, "FOLLOW", NEVER_ENDS)
    worker.kill()
    worker.wait()
    with pytest.raises(UserError, match=r"dvc-exp-worker-1\.out may say why"):
        queue.run((), 1, print)
    assert not left()


MINE, OTHER = Task("mine", "a" * 40, 2**22 + 1), Task("other", "b" * 40)


def test_our_own_dead_are_given_up_and_those_of_others_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = Fake([MINE, OTHER])
    monkeypatch.setattr(queue, "tasks", lambda: fake)
    assert queue.clear(["mine"], print) == ["mine"]
    assert fake.given_up == ["mine"]
    assert capsys.readouterr().out == (
        "DVC's queue calls other running, but nobody runs them any more: `dvc queue kill other` clears them\n"
    )


@pytest.mark.parametrize(
    ("task", "dead"),
    [
        (MINE, True),
        (Task("mine", "a" * 40), False),  # being set up
        (Task("mine", "a" * 40, 2**22 + 1, 0), False),  # being collected
        (Task("mine", "a" * 40, psutil.Process().pid), True),  # the number is another one's
        (Task("mine", "queue-worker", -1), False),
    ],
    ids=["killed", "begins", "has ended", "number of another", "runs"],
)
def test_while_a_worker_lives_only_what_was_killed_is_dead(
    worker: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, task: Task, dead: bool
) -> None:
    task = replace(task, pid=worker.pid) if task.pid == -1 else task
    monkeypatch.setattr(queue, "tasks", lambda: Fake([task]))
    assert queue.clear(["mine"], print) == ["mine"] * dead
    worker.kill()
    worker.wait()
    monkeypatch.setattr(queue, "tasks", lambda: Fake([task]))
    assert queue.clear(["mine"], print) == ["mine"], "without a worker all are"


def test_what_begins_between_two_looks_is_not_dead(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake([MINE])
    monkeypatch.setattr(queue, "tasks", lambda: fake)
    monkeypatch.setattr(queue.time, "sleep", lambda seconds: fake.left.clear())
    assert queue.clear(["mine"], print) == []


def test_where_one_of_several_workers_is_dead_what_it_ran_is_not_followed_for_ever(
    worker: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Fake([MINE])
    monkeypatch.setattr(queue, "tasks", lambda: fake)
    with pytest.raises(UserError, match=r"^mine ended without a word, as if killed: give the command again to go on$"):
        queue.run(["mine"], 2, print)
    assert fake.given_up == ["mine"]
    assert not left()


@pytest.mark.long
def test_a_killed_worker_of_dvcs_own_holds_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a power cut: worker, experiment and whoever waited are killed; then the same is asked for once more."""
    (tmp_path / "repository" / ".dvc").mkdir(parents=True)
    (tmp_path / "repository" / ".dvc" / "config").write_text(CONFIG)
    scratch = Scratch(tmp_path / "repository")
    monkeypatch.chdir(scratch.folder)
    for name, value in {**scratch.environment, "PYTHONPATH": str(ROOT)}.items():
        monkeypatch.setenv(name, value)
    for name in ("params.yaml", "given"):
        (scratch.folder / name).write_text("a: 0\n")
    command = f"touch {tmp_path}/begun${{a}}; test -e {tmp_path}/go || sleep 300; echo ${{a}} > out"
    first = {"cmd": f"echo ran >> {tmp_path}/first; cp given made", "deps": ["given"], "outs": ["made"]}
    second = {"cmd": command, "params": ["a"], "deps": ["made"], "outs": [{"out": {"cache": False}}]}
    (scratch.folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"first": first, "second": second}}))
    scratch.run("git", "init", "--quiet")
    scratch.run("git", "add", ".")
    scratch.run(*COMMIT)
    queue.add("other", ["a=1"])
    queue.add("mine", ["a=2"])
    ask = "from pipeline.dvc import queue; queue.run(['mine'], 2, print)"
    waiting = scratch.start(sys.executable, "-c", ask)
    begun = [tmp_path / f"begun{number}" for number in (1, 2)]
    with suppress(AssertionError):
        wait("both to begin", lambda: all(path.exists() for path in begun))
    wait("both to begin", lambda: all(path.exists() for path in begun))  # workers take long to start
    killed = [each for each in psutil.process_iter(["cmdline", "pid"]) if works(each, scratch.folder)]
    assert len(killed) >= 4, "two workers, and what they run"
    for each in killed:
        with suppress(psutil.Error):
            each.kill()
    waiting.kill()
    waiting.communicate()
    psutil.wait_procs(killed, 10)
    (tmp_path / "go").touch()

    ran = (tmp_path / "first").read_text()
    assert queue.clear(["mine"], print) == ["mine"]
    queue.add("mine", ["a=2"])
    queue.run(["mine"], 1, print)
    assert ("mine", None) in [(each.name, each.state) for each in experiments.read()], "it is done"
    assert (tmp_path / "first").read_text() == ran, "and what was done before was not done again"
    assert [task.name for task in queue.tasks().running()] == ["other"], "which is not ours to end"
    assert queue.clear(["mine"], print) == []


def works(process: psutil.Process, folder: Path) -> bool:
    """Whether a process works for DVC's queue of a repository."""
    try:
        words = " ".join(process.cmdline())
        return process.cwd().startswith(str(folder)) and ("exp" in words or "sleep 300" in words)
    except psutil.Error:
        return False


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
