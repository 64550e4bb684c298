"""Killed anywhere, run again: the result is, byte for byte, that of an undisturbed run.

The baseline of the scratch repository takes 60 epochs of 4 steps and saves its state after each step.
"""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.base import files
from tests.scratch import Scratch, wait

STRUCK = Path(__file__).with_name("struck.py")
STEP = "torch.autograd:backward"  # once a step
STEPS = 4


def struck(scratch: Scratch, function: str, call: int, name: str, *verb: str) -> subprocess.Popen[str]:
    """Start a stage that a signal strikes before some call of a function."""
    return scratch.start(sys.executable, str(STRUCK), function, str(call), name, *verb)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit status and output of a process, at its end."""
    said, _ = process.communicate(timeout=120)
    return process.returncode, said


def done(said: str) -> int:
    """Steps that were done before the one that training went on at."""
    found = re.search(r"going on at epoch (\d+), step (\d+)", said)
    assert found, said
    return STEPS * (int(found[1]) - 1) + int(found[2]) - 1


def results(scratch: Scratch, name: str) -> tuple[dict[str, str], dict[str, Any], list[dict[str, str]]]:
    """All that a node leaves behind, less what a clock says."""
    metrics = json.loads((scratch.folder / "metrics" / f"{name}.json").read_text())
    with (scratch.folder / "curves" / f"{name}.csv").open(newline="") as file:
        rows = [{**row, "images_per_second": ""} for row in csv.DictReader(file)]
    return scratch.hashes(name), {**metrics, "cost": None, "seal": None}, rows


def saves(scratch: Scratch) -> int:
    """Changes whenever a state of the baseline is saved."""
    assert scratch.state is not None
    return max((path.stat().st_mtime_ns for path in scratch.state.glob("baseline/*/state")), default=0)


def test_killed_in_a_step_in_a_save_and_in_labelling(untrained: Scratch, lineage: Scratch) -> None:
    def killed(function: str, call: int) -> str:
        status, said = ended(struck(untrained, function, call, "SIGKILL", "baseline"))
        assert status == -signal.SIGKILL, said
        return said

    assert "going on" not in killed(STEP, 30)
    # A save calls fsync for its file and for its folder: the 11th file was written and not yet fsynced.
    assert done(killed("os:fsync", 21)) == 29
    # A save first renames the last state, then the new one: the 10th was killed between the two.
    assert done(killed("os:replace", 20)) == 29 + 10
    assert done(killed("pipeline.labels.parts:view_path", 3)) == 29 + 10 + 9
    said = untrained.stage("baseline")
    assert "training was finished before" in said
    assert "baseline: going on with labels at view 2 of 3, " in said, "two views are whole"
    assert results(untrained, "baseline") == results(lineage, "baseline")
    assert "baseline: labels were finished before" in untrained.stage("baseline")
    assert not list((untrained.folder / "artifacts").glob(".*")), "what the killed process had begun is gone"


@pytest.mark.long
def test_a_student_of_stored_labels_goes_on_exactly(untrained: Scratch, lineage: Scratch) -> None:
    status, said = ended(struck(untrained, STEP, 6, "SIGKILL", "student"))
    assert status == -signal.SIGKILL, said
    assert done(untrained.stage("student")) == 5
    assert results(untrained, "student") == results(lineage, "student")


@pytest.mark.long
def test_asked_to_stop_it_saves_and_says_so(untrained: Scratch, lineage: Scratch) -> None:
    machine = untrained.folder / "plan" / "machine.json"
    files.write_sealed(machine, files.read_sealed(machine) | {"state_every": 1e6})
    before = 0
    for name, call in (("SIGTERM", 10), ("SIGINT", 7)):
        status, said = ended(struck(untrained, STEP, call, name, "baseline"))
        assert status == 130, said
        assert re.search(r"^stopped .*; progress is saved$", said, re.MULTILINE), said
        assert "Traceback" not in said
        assert before == 0 or done(said) == before
        before += call
    assert done(untrained.stage("baseline")) == before
    assert results(untrained, "baseline") == results(lineage, "baseline")


@pytest.mark.long
def test_with_dvc_killed_alone_with_its_stage_and_by_ctrl_c(untrained: Scratch, lineage: Scratch) -> None:
    def struck_dvc(number: signal.Signals, group: bool) -> tuple[int, str]:
        before = saves(untrained)
        process = untrained.start("dvc", "repro", "--single-item", "--force", "baseline")
        wait("training to go on", lambda: saves(untrained) > before or process.poll() is not None)
        (os.killpg if group else os.kill)(process.pid, number)
        # The output ends when the stage, too, has ended.
        return ended(process)

    status, said = struck_dvc(signal.SIGKILL, group=False)
    assert status == -signal.SIGKILL
    assert "progress is saved" in said, "the stage ends with DVC"
    status, said = struck_dvc(signal.SIGKILL, group=True)
    assert status == -signal.SIGKILL
    first = done(said)
    status, said = struck_dvc(signal.SIGINT, group=True)
    assert status > 0
    assert "progress is saved" in said
    assert "Traceback" not in said
    assert done(said) > first > 0
    assert "going on at epoch" in untrained.run("dvc", "repro", "--single-item", "--force", "baseline")
    assert results(untrained, "baseline") == results(lineage, "baseline")


@pytest.mark.long
def test_two_at_once_train_once(lineage: Scratch, tmp_path: Path) -> None:
    state = tmp_path / "state"
    one, other = (lineage.copy(tmp_path / name, state) for name in ("one", "other"))
    trains = struck(one, STEP, 20, "SIGSTOP", "baseline")
    try:
        wait("the first to train", lambda: _is_stopped(trains.pid))
        waits = other.start(sys.executable, "-m", "stages", "baseline")
        assert waits.stdout is not None
        line = waits.stdout.readline()
        assert line == f"baseline is being trained by process {trains.pid}: waiting for its result\n"
        os.kill(trains.pid, signal.SIGCONT)
        status, said = ended(trains)
        assert status == 0, said
        assert "going on" not in said
    finally:
        trains.kill()
    status, said = ended(waits)
    assert status == 0, said
    assert "training was finished before" in said
    assert one.hashes("baseline") == other.hashes("baseline") == lineage.hashes("baseline")


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.long
@pytest.mark.parametrize(
    ("changes", "trains"),
    [({"labels": {"views": 5}}, False), ({"teacher": {"recipe": {"lr": 0.02}}}, True)],
    ids=["labels", "recipe"],
)
def test_new_label_settings_relabel_and_do_not_retrain(
    copied: Scratch, lineage: Scratch, changes: dict[str, Any], trains: bool
) -> None:
    copied.edit(changes)
    copied.stage("plan")
    said = copied.stage("teacher")
    assert ("training was finished before" in said) is not trains
    before, now = lineage.hashes("teacher"), copied.hashes("teacher")
    same = {name for name in before if now[name] == before[name]}
    if trains:
        assert "teacher/model.safetensors" not in same
    else:
        assert same == before.keys() - {"teacher/labels/labels.json", "teacher/node.json"}
        assert now.keys() - before.keys() == {f"teacher/labels/view_00{v}.safetensors" for v in (4, 5)}


@pytest.mark.long
def test_a_damaged_state_falls_back_to_the_one_before(untrained: Scratch, lineage: Scratch) -> None:
    status, said = ended(struck(untrained, STEP, 30, "SIGKILL", "baseline"))
    assert status == -signal.SIGKILL, said
    assert untrained.state is not None
    (path,) = untrained.state.glob("baseline/*/state")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    said = untrained.stage("baseline")
    assert f"{path} is damaged and not used" in said
    assert done(said) == 28
    assert results(untrained, "baseline") == results(lineage, "baseline")
