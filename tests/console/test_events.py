"""What a stage tells of itself while it runs: lines that stand there at once, and nothing that could stop it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.console import events
from pipeline.console.events import FOLDER, ended, running, telling
from pipeline.dvc.training_state import VARIABLE


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "state"))
    monkeypatch.setenv("DVC_EXP_NAME", "wild-goose")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "state"


def file(root: Path) -> Path:
    (path,) = (root / FOLDER).iterdir()
    return path


CHILD = """
import sys, time
from pipeline.console.events import telling
with telling("method/dkd", "training", epochs=3, steps=5, key=sys.argv[1]) as tell:
    tell(done=7, always=True)
    print("told", flush=True)
    time.sleep(100)
"""


@contextmanager
def child(key: str = "k") -> Iterator[subprocess.Popen[str]]:
    """Another process that runs and tells."""
    path = os.pathsep.join(sys.path)
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, key], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    with process:
        assert process.stdout and process.stdout.readline() == "told\n"
        try:
            yield process
        finally:
            process.kill()


def test_who_looks_on_reads_what_runs_and_of_the_dead_nothing(root: Path) -> None:
    assert running(root) == ended(root) == []
    with child() as process:
        (found,) = running(root)
        assert not ended(root)
        assert found.first["node"] == "method/dkd" and found.first["doing"] == "training"
        assert (found.first["experiment"], found.first["pid"]) == ("wild-goose", process.pid)
        assert found.first["workspace"] == str(Path.cwd())
        assert found.last("done") == 7 and found.last("row") is None
        assert abs(found.lines[-1]["time"] - time.time()) < 60
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert running(root) == []
        assert ended(root) == [file(root)]


def test_one_file_of_a_node_and_workspace_is_written_by_one_process(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with child(), telling("method/dkd", "training") as tell:
        tell(done=1, always=True)
        assert [each.last("done") for each in running(root)] == [7]
    (tmp_path / "other").mkdir()
    with child():
        monkeypatch.chdir(tmp_path / "other")
        with telling("method/dkd", "labels") as tell:
            tell(done=2, always=True)
            assert sorted(each.last("done") for each in running(root)) == [2, 7]


def test_after_a_torn_line_the_next_process_is_read(root: Path) -> None:
    for key in ("a", "b", "a"):
        with child(key):
            pass
        with file(root).open("a") as torn:
            torn.write('{"time": 1, "do')
    with child("a"):
        (found,) = running(root)
    assert [line["done"] for line in found.lines] == [7]
    assert [line["done"] for line in found.before] == [7, 7], "of the same training, not of that between"


def test_often_called_it_leaves_lines_out_but_none_that_must_not_be_missed(root: Path) -> None:
    with telling("teacher", "training") as tell:
        for done in range(1000):
            tell(done=done)
        tell(always=True, done=1000)
        tell(always=True, done=1001)
    lines = [json.loads(line) for line in file(root).read_text().splitlines() if line]
    assert [line.get("done") for line in lines][-2:] == [1000, 1001]
    assert len(lines) < 20


def test_where_nothing_can_be_written_the_stage_goes_on(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with telling("teacher", "training") as tell, monkeypatch.context() as patch:

        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        patch.setattr(os, "write", full)
        tell(always=True, done=1)
    for place in ("a file", "nowhere"):
        monkeypatch.setenv(VARIABLE, str(root / FOLDER / place))
        if place == "a file":
            (root / FOLDER / place).write_text("")
        else:
            monkeypatch.delenv(VARIABLE)  # and here is no repository
        with telling("teacher", "training") as tell:
            tell(always=True, done=1)
    assert capsys.readouterr() == ("", "")


def test_what_has_grown_too_long_begins_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (5000, 100):
        monkeypatch.setattr(events, "LARGEST", size)
        for done in range(20):
            with telling("teacher", "training", key="k") as tell:
                tell(always=True, done=done)
        assert file(root).stat().st_size < size + 400


def test_files_and_folders_of_others_are_left_alone(root: Path, tmp_path: Path) -> None:
    with telling("teacher", "training"):
        pass
    ours = file(root)
    (root / FOLDER / "notes.txt").write_text("mine")
    (root / FOLDER / f"x{ours.name}").symlink_to(ours)
    (root / FOLDER / "a.0123456789ab.jsonl").mkdir()
    assert ended(root) == [ours]
