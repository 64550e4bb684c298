"""What a person reads of a training: rich in a terminal, plain lines through a pipe."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.console import events, progress, training
from pipeline.console.events import running
from pipeline.console.trackers import Tracked
from pipeline.console.training import Job, duration
from pipeline.dvc.previous_run import PreviousRun
from pipeline.dvc.training_state import VARIABLE
from tests.scratch import Scratch

COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3|4|9|10)\d(?:;\d+)*m")
JOB = Job(
    "student", "teacher (stored, soft_targets)", "plain widths [4, 8] (438 parameters)", "cpu", 300, 20, 30, 32, None
)
NOW = {
    "validation": {"accuracy": 0.8},
    "test": {"accuracy": 0.75, "nll": 1.0, "ece": 0.1},
    "cost": {"training_seconds": 2.0},
}
BEFORE = {"validation": {"accuracy": 0.9}, "test": {"accuracy": 0.7}, "cost": {"training_seconds": 1.0}}


def in_terminal(scratch: Scratch, *command: str, **variables: str) -> str:
    """What a command writes to a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    environment = {**scratch.environment, "TERM": "xterm-256color", "COLUMNS": "100", **variables}
    environment.pop("NO_COLOR" if "NO_COLOR" not in variables else "", None)
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=scratch.folder, env=environment, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        said += part
    os.close(ours)
    assert process.wait() == 0, said.decode()
    return said.decode()


@pytest.mark.long
def test_in_a_terminal_there_is_a_header_and_a_table_with_the_last_result(copied: Scratch) -> None:
    said = in_terminal(copied, "stages", "student")
    words = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", said)
    assert re.search(r"learns from +assistant/t1 \(stored, ", words)
    assert re.search(r"network +plain widths \[4, 6\] \([\d,]+ parameters\)", words)
    assert re.search(r"job +\d+ images, 2 epochs, about \d+ s at the last run's speed", words)
    assert re.search(r"machine +cpu, float32, 1 thread\b", words)
    assert re.search(r"student +this run +last run +change", words)
    figures = re.search(r"test accuracy +([\d.]+) +([\d.]+) +\+0\.0", words)
    assert figures and figures[1] == figures[2], "the same training, so the same result"
    assert COLOUR.search(said)
    assert not COLOUR.search(in_terminal(copied, "stages", "student", NO_COLOR="1"))


def test_through_a_pipe_lines_are_plain_and_rich_stays_out(copied: Scratch) -> None:
    said = copied.run(sys.executable, "-X", "importtime", "-m", "stages", "student")
    assert "\x1b" not in said
    assert not re.search(r"\| +rich", said)
    lines = [line for line in said.splitlines() if not line.startswith("import time")]
    assert lines[0].startswith("student: learns from assistant/t1 (stored, ")
    assert re.match(r"student: validation accuracy [\d.]+ \(last run [\d.]+\), test accuracy", lines[-1])


def test_without_a_last_result_nothing_stands_beside_the_new_one(capsys: pytest.CaptureFixture[str]) -> None:
    training.header(JOB)
    training.closing("student", NOW, None)
    header, closing = capsys.readouterr().out.splitlines()
    assert header.endswith("(438 parameters); 300 images, 20 epochs; cpu")
    assert closing == (
        "student: validation accuracy 80.0, test accuracy 75.0, test NLL 1.000, test ECE 10.0, training seconds 2.0"
    )


def test_a_table_says_what_has_changed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    training.closing("student", NOW, PreviousRun(BEFORE, None))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["validation", "accuracy", "80.0", "90.0", "-10.0"] in lines
    assert ["test", "NLL", "1.000"] in lines, "the last run did not have it"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (99, "99 s"), (150, "2 min"), (3600, "60 min"), (9000, "2.5 h")]
)
def test_a_time_has_its_unit(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_where_network_or_images_changed_no_time_is_expected() -> None:
    job = Job(**{**vars(JOB), "previous_run": PreviousRun({}, 100.0), "is_alike": False})
    assert job.size == "300 images, 20 epochs"


def test_expected_time_is_that_of_the_last_speed() -> None:
    assert (
        Job(**{**vars(JOB), "previous_run": PreviousRun({}, 100.0)}).size
        == "300 images, 20 epochs, about 60 s at the last run's speed"
    )


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is shown is told to who looks on, too: not beside this repository's training."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return tmp_path


def test_a_training_tells_each_epoch_and_where_it_is_between_two(
    elsewhere: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "APART", 0)
    row = {"epoch": 1, "loss": 2.0, "validation_accuracy": 0.5, "images_per_second": 7.0}
    with progress.showing("teacher", 2, 10, key="k") as shown:
        shown.ended(row)
        (found,) = running(elsewhere)
        assert found.last("done") == 10 and found.last("row") == row
        monkeypatch.setattr(events, "APART", 0)
        shown.moved(13)
        assert running(elsewhere)[0].last("done") == 13
        shown.ended({**row, "epoch": 2, "validation_accuracy": None})
    assert capsys.readouterr().out.splitlines() == [
        "teacher: epoch 1 of 2, loss 2.0000, validation 50.0 %, 7 images/s",
        "teacher: epoch 2 of 2, loss 2.0000, 7 images/s",
    ]


def test_trackers_are_told_each_epoch_and_what_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    @contextmanager
    def tracking(names: Any, run: Tracked, warn: Any) -> Iterator[Any]:
        seen.append((names, run))
        yield seen.append

    monkeypatch.setattr("pipeline.console.trackers.tracking", tracking)
    row = {"epoch": 1, "loss": 2.0, "validation_accuracy": 0.5, "images_per_second": 7.0}
    with progress.showing("teacher", 2, 10, trackers=("wandb",), key="k", machine="cpu") as shown:
        shown.ended(row)
    assert seen == [(("wandb",), Tracked("teacher", {"epochs": 2, "steps": 10, "machine": "cpu"}, "k")), row]


def test_a_bar_moves_with_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("rich.progress.Progress.update", lambda self, task, **to: seen.append(to))
    with progress.showing("teacher", 2, 10) as shown:
        shown.moved(5)
        shown.moved(15)
    assert [each["completed"] for each in seen] == [0.5, 1.5]


def labels_shown(capsys: pytest.CaptureFixture[str], calls: range | list[int]) -> list[str]:
    """The lines of a labelling of 19 views and the clean one, 50 images each, whose progress is that."""
    with progress.showing_labels("teacher", 19, 1000) as show:
        for done in calls:
            show(done)
    return capsys.readouterr().out.splitlines()


def test_labelling_shows_where_it_is_in_a_dozen_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert labels_shown(capsys, range(0, 1001, 10)) == [], "it took no time"
    monkeypatch.setattr(progress, "APART", 0)
    lines = labels_shown(capsys, range(0, 1001, 10))
    assert len(lines) == 10
    assert re.fullmatch(r"teacher: labels, view 2 of 19, image 100 of 1,000, \d+ images/s", lines[0])
    assert re.fullmatch(r"teacher: labels, view 19 of 19, image 1,000 of 1,000, \d+ images/s", lines[-1])


def test_labelling_says_where_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert labels_shown(capsys, [340, 350]) == ["teacher: going on with labels at view 6 of 19, image 340 of 1,000"]
    assert labels_shown(capsys, [1000]) == ["teacher: labels were finished before and are used"]
