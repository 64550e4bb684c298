"""Real stages side by side in a scratch repository: the bytes of `dvc repro`, failure, and being ended."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from pipeline.base import files
from pipeline.commands import repro as command
from pipeline.commands.repro import NAMED
from tests.faults.compare import difference, results
from tests.scratch import LENGTHS, RAN, Scratch, wait

COMMAND = (sys.executable, "-m", "pipeline", "repro", "--jobs", "2")
STAGES = ["prepare", "teacher", "assistant@t1", "assistant@t2", "assistant@t3", "student", "direct"]


@pytest.fixture
def empty(fresh: Scratch, tmp_path: Path) -> Scratch:
    """A repository in which nothing but `plan` has run."""
    return fresh.copy(tmp_path / "repository", tmp_path / "state")


def check_same(scratch: Scratch, lineage: Scratch, stages: list[str]) -> None:
    """Hold all files of these stages, and what dvc.lock says of them, against what `dvc repro` left; less timings."""
    nodes = [name.replace("@", "/") for name in stages if name != "prepare"]
    paths = ["artifacts/data", *(f"artifacts/{name}" for name in nodes), *(f"metrics/{name}.json" for name in nodes)]
    found, expected = (results(each.folder, *paths) for each in (scratch, lineage))
    assert found == expected, difference(found, expected)
    assert recorded(scratch, stages) == recorded(lineage, stages)


def recorded(scratch: Scratch, stages: list[str]) -> dict[str, object]:
    """What dvc.lock says of some stages, less outs in which timings stand."""
    read = yaml.safe_load((scratch.folder / "dvc.lock").read_text())["stages"]
    timed = ("metrics/", "curves/")
    return {
        name: {**read[name], "outs": [out for out in read[name]["outs"] if not out["path"].startswith(timed)]}
        for name in stages
    }


def left(scratch: Scratch) -> list[psutil.Process]:
    """Processes that still work in the repository."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(scratch.folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def begin(scratch: Scratch) -> subprocess.Popen[str]:
    """Start the command and wait until the baseline has trained for a while."""
    assert scratch.state is not None
    state = scratch.state
    process = scratch.start(*COMMAND, "baseline", "teacher")
    wait("training to begin", lambda: bool([*state.glob("baseline/*/state")]) or process.poll() is not None)
    return process


@pytest.mark.long
def test_a_branch_is_what_dvc_makes_of_it(empty: Scratch, lineage: Scratch) -> None:
    said = empty.run(*COMMAND, "student", "direct")
    assert sorted(RAN.findall(said)) == sorted(["plan", *STAGES])
    assert f"{len(STAGES)} of {len(STAGES)} stages were due, and ran" in said
    assert "git add" not in said
    check_same(empty, lineage, STAGES)
    assert empty.repro("student", "direct") == ["plan"], "and DVC agrees that nothing is to be done"

    said = empty.run(*COMMAND, "student", "direct")
    assert RAN.findall(said) == ["plan"]
    assert f"nothing to do: all {len(STAGES)} stages are up to date" in said
    (empty.folder / "artifacts/assistant/t3/node.json").unlink()
    said = empty.run(*COMMAND, "student", "direct")
    assert RAN.findall(said) == ["plan"], "the run is in DVC's cache"
    assert "Stage 'assistant@t3' is cached" in said
    check_same(empty, lineage, STAGES)


@pytest.mark.long
def test_one_that_fails_stops_those_that_need_it_and_no_others(empty: Scratch) -> None:
    empty.edit({"baseline": {"recipe": {"lr": 1e30}}})
    said = empty.run(*COMMAND, "refined", "teacher", code=1)
    *_, failed, not_begun = said.rstrip().splitlines()
    assert re.fullmatch(r"error: baseline failed: .*not finite.*", failed), said
    slots = [f"refinery@g{number}" for number in range(1, LENGTHS["refinery"] + 1)]
    assert not_begun == f"not begun, as they need what failed: {', '.join(slots)}, refined"
    assert "Traceback" not in said
    assert (empty.folder / "artifacts/teacher/node.json").exists()
    assert not (empty.folder / "artifacts/baseline").exists()


def test_wrong_parameters_and_targets_are_one_sentence(empty: Scratch) -> None:
    assert empty.run(*COMMAND, "techer", code=1) == "error: unknown stage 'techer', did you mean 'teacher'?\n"
    empty.edit({"baseline": {"epoch": 3}})
    said = empty.run(*COMMAND, "teacher", code=1)
    *_, failed, not_begun = said.rstrip().splitlines()
    assert failed.startswith("error: plan failed: params.yaml: baseline: unknown key 'epoch'"), said
    assert not_begun == "not begun, as they need what failed: prepare, teacher"


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_ended_it_leaves_nothing_that_runs_and_goes_on_to_the_same(
    empty: Scratch, lineage: Scratch, number: signal.Signals
) -> None:
    process = begin(empty)
    # A terminal's Ctrl-C goes to the whole group; what runs is not in it, and is stopped by the command.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    said, _ = process.communicate(timeout=60)
    if number == signal.SIGKILL:
        assert process.returncode == -number
        wait("what it left to end", lambda: not left(empty))
    else:
        assert process.returncode == 128 + number
        assert not left(empty), "it waits for all that ran"
        assert "progress is saved" in said
        assert said.index("stopping ") < said.index("progress is saved"), "the first that a person reads"
        assert "ERROR" not in said and "failed to reproduce" not in said
        assert re.search(r"^stopped while .*baseline.* ran: give the command again to go on$", said, re.MULTILINE)
    assert "Traceback" not in said
    assert "going on at epoch" in empty.run(*COMMAND, "baseline", "teacher")
    check_same(empty, lineage, ["prepare", "baseline", "teacher"])


@pytest.mark.parametrize(
    ("device", "seen"), [("auto", {"5", "7"}), ("cuda:1", {"5,7"})], ids=["one each", "one given for all"]
)
def test_without_a_number_each_stage_has_a_gpu_of_its_own(
    empty: Scratch, monkeypatch: pytest.MonkeyPatch, device: str, seen: set[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    empty.edit({"machine": {"device": device}})
    stages = {
        name: {"cmd": f"sleep 0.5; echo $CUDA_VISIBLE_DEVICES > {name}", "outs": [{name: {"cache": False}}]}
        for name in ("one", "other")
    }
    (empty.folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    empty.run(*COMMAND[:-2])
    assert {(empty.folder / name).read_text().strip() for name in stages} == seen


def test_of_many_stages_the_first_are_named_and_the_rest_counted() -> None:
    many = [f"s{number}" for number in range(NAMED + 2)]
    assert command._named(many[:NAMED]) == ", ".join(many[:NAMED])
    assert command._named(many) == f"{', '.join(many[:NAMED])} and 2 more"


def test_on_one_gpu_a_stage_waits_for_room_and_says_so(
    empty: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver is made up, and nothing is known yet of what the stages take."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 80000, 81559\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1")
    machine = empty.folder / "plan" / "machine.json"
    files.write_sealed(machine, {**files.read_sealed(machine), "device": "auto"})
    # Each fails where it finds the other at work.
    command = "mkdir here && sleep 1 && rmdir here && touch"
    stages = {name: {"cmd": f"{command} {name}", "outs": [{name: {"cache": False}}]} for name in ("teacher", "student")}
    (empty.folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    said = empty.run(*COMMAND)
    waits = "waits: it needs all of it, as nothing is known of it yet, and 0.0 GiB of GPU-1 are free"
    assert re.findall(r"^\w+ (waits: .*)$", said, re.MULTILINE) == [waits]
    assert all((empty.folder / name).exists() for name in stages)
