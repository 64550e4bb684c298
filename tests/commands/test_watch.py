"""What `python -m pipeline watch` shows of what runs."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands import watch
from pipeline.console.events import Activity
from tests.scratch import Scratch, wait

TRAINING = {
    "node": "student", "doing": "training", "workspace": "/x/tmp1", "experiment": None, "pid": 1, "time": 100.0,
    "epochs": 10, "steps": 20, "images": 600, "machine": "cpu, float32, 1 thread", "key": "k",
}  # fmt: skip
LABELS = {**TRAINING, "doing": "labels", "experiment": "wild-goose", "images": 400, "views": 3, "machine": None}
IMAGES = {**TRAINING, "node": "prepare", "doing": "images", "images": 5000, "verb": "read", "machine": None}


def row(epoch: int, loss: float, accuracy: float | None) -> dict[str, Any]:
    return {"epoch": epoch, "loss": loss, "validation_accuracy": accuracy}


def test_a_line_says_how_far_how_fast_and_how_long() -> None:
    lines = [
        {"time": 50.0, "done": 10},
        {"time": 101.0, "done": 20, "row": row(1, 2.5, 0.25)},
        {"time": 111.0, "done": 45},
    ]
    found = Activity(TRAINING, lines, [])
    _, cells = watch.table([found], now=112.0)
    # 2.5 steps a second of 30 images each, of late; 155 steps are left.
    assert cells == (
        "student", "tmp1", "epoch 3 of 10, step 6 of 20", "22 %", "2.5000", "25.0 %", "75", "62 s",
        "cpu, float32, 1 thread",
    )  # fmt: skip


def test_labels_and_images_are_told_in_their_own_words() -> None:
    labels = Activity(LABELS, [{"time": 1.0, "done": 0}, {"time": 3.0, "done": 250}], [])
    images = Activity(IMAGES, [{"time": 1.0, "done": 1234}], [])
    _, first, second = watch.table([labels, images], now=4.0)
    assert first == (
        "student", "wild-goose", "labels, view 2 of 3", "62 %", "-", "-", "125", "1 s", "-"
    )  # fmt: skip
    assert second[2:] == ("1,234 of 5,000 images read", "25 %", "-", "-", "-", "-", "-")


def test_what_has_just_begun_or_is_done_has_no_time_left() -> None:
    lines = [{"time": 1.0, "done": 1}, {"time": 2.0, "done": 200}]
    begun, done = Activity(TRAINING, [], []), Activity(TRAINING, lines, [])
    _, first, second = watch.table([begun, done], now=3.0)
    assert first[2:8] == ("epoch 1 of 10, step 1 of 20", "0 %", "-", "-", "-", "-")
    assert second[2] == "epoch 10 of 10, step 20 of 20" and second[3] == "100 %" and second[7] == "-"


def test_curves_go_on_from_what_ran_before() -> None:
    before = [{"time": 1.0, "row": row(1, 4.0, 0.1)}, {"time": 2.0, "row": row(2, 3.0, 0.3)}]
    lines = [{"time": 3.0, "row": row(2, 2.0, 0.3)}, {"time": 4.0, "row": row(3, 0.0, None)}]
    labels = Activity({**LABELS, "experiment": None}, [], [])
    loss, accuracy = watch.curves([Activity(TRAINING, lines, before), labels])
    assert loss == "student, loss: █▅▁  0 to 4, epoch 3"
    assert accuracy == "student, validation: ▁█  10 % to 30 %, epoch 3"
    several = [Activity({**TRAINING, "experiment": name}, lines, before) for name in ("suave-dunt", "myoid-over")]
    assert [line.partition(":")[0] for line in watch.curves(several)] == [
        "student of suave-dunt, loss",
        "student of suave-dunt, validation",
        "student of myoid-over, loss",
        "student of myoid-over, validation",
    ]
    assert watch.bars([1.0] * 5) == "▁▁▁▁▁"
    assert len(watch.bars([float(n) for n in range(1000)])) <= watch.WIDTH


@pytest.mark.long
def test_a_stage_that_trains_is_seen_until_it_ends(fresh: Scratch, tmp_path: Path) -> None:
    scratch = fresh.copy(tmp_path / "repository")
    command = (sys.executable, "-m", "pipeline", "watch")
    scratch.edit({"baseline": {"recipe": {"epochs": 100_000}}})
    scratch.stage("plan")
    scratch.stage("prepare")
    assert scratch.run(*command) == "nothing runs here\n"
    process = scratch.start(sys.executable, "-m", "stages", "baseline")
    try:
        wait("the baseline", lambda: "baseline" in scratch.run(*command, "--json"))
        time.sleep(2.5)
        found = json.loads(scratch.run(*command, "--json"))
        assert found["stage"] == "baseline" and found["experiment"] == scratch.folder.name
        assert re.fullmatch(r"epoch [\d,]+ of 100,000, step \d of 4", found["doing"])
        assert re.fullmatch(r"[\d,]+", found["images/s"]) and re.fullmatch(r"[\d.]+ (s|min|h)", found["left"])
        said = scratch.run(*command, "--curves")
        assert "baseline, loss: " in said and "baseline, validation: " in said
        ours, theirs = pty.openpty()
        environment = {**scratch.environment, "TERM": "xterm-256color", "COLUMNS": "160"}
        looks = subprocess.Popen(
            [*command],
            cwd=scratch.folder,
            env=environment,
            stdout=theirs,
            stderr=theirs,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background ignores it
        )
        os.close(theirs)
        time.sleep(4)
        looks.send_signal(signal.SIGINT)
        shown = b""
        while part := _read(ours):
            shown += part
        os.close(ours)
        assert looks.wait() == 0
        assert len({*re.findall(r"epoch ([\d,]+) of", shown.decode())}) > 1, "it is drawn anew"
        assert "Traceback" not in shown.decode()
    finally:
        process.kill()
        process.communicate()
    assert scratch.run(*command) == "nothing runs here\n"


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # how Linux says that the other end is closed
        return b""


def test_without_a_repository_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.base.errors import UserError
    from pipeline.dvc.training_state import VARIABLE, state_root

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(UserError, match=r"no \.dvc folder here or above"):
        state_root()
