"""The harness of whole runs can fail: each thing that it looks for is found where it is planted."""

import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.faults import __main__ as command
from tests.faults import driver as drivers
from tests.faults import small
from tests.faults.compare import results
from tests.faults.driver import DVC, JOBS, Driver, strike
from tests.faults.record import Record, Struck, read, table
from tests.faults.runs import RUNS, finish
from tests.faults.small import Small, nothing_runs, wait
from tests.scratch import ROOT, Scratch, bring

MODEL = "artifacts/teacher/model.safetensors"
LOCK = {"stages": {"teacher": {"deps": [], "outs": [{"path": "artifacts/teacher", "md5": "1"}]}}}
SNAPSHOT = "pipeline/training/snapshot.py"
MOMENTUM = "_beside(parameters[int(index)], tensor)"


@pytest.fixture
def finished(tmp_path: Path) -> Small:
    """What an undisturbed run left, of a few files made by hand."""
    folder = tmp_path / "finished"
    (folder / MODEL).parent.mkdir(parents=True)
    (folder / MODEL).write_bytes(b"weights")
    (folder / "params.yaml").touch()
    (folder / "dvc.lock").write_text(yaml.safe_dump(LOCK))
    return Small(Scratch(folder), results(folder), {"0": small.lock(yaml.safe_dump(LOCK))})


@pytest.fixture
def own(finished: Small, tmp_path: Path) -> Scratch:
    """A copy, as a run that was struck and resumed leaves it where nothing is wrong."""
    folder = tmp_path / "own" / "repository"
    shutil.copytree(finished.finished.folder, folder)
    (tmp_path / "own" / "state").mkdir()
    return Scratch(folder, tmp_path / "own" / "state")


def test_where_nothing_is_wrong_nothing_is_found(finished: Small, own: Scratch) -> None:
    finished.check(own)


@pytest.mark.parametrize(
    ("path", "content", "complaint"),
    [
        (f"repository/{MODEL}", "Weights", f"differs: {MODEL}"),
        (f"repository/{Path(MODEL).parent}/.left.1.tmp", "", r"differs: artifacts/teacher/\.left\.1\.tmp"),
        ("repository/.left.1.tmp", "", r"lie about, or are gone: \.left\.1\.tmp"),
        ("repository/dvc.lock", yaml.safe_dump(LOCK).replace("'1'", "'2'"), "dvc.lock differs"),
        ("state/teacher/.state.1.tmp", "", "temporary files in the state"),
    ],
    ids=["another byte", "a file too many", "left in the repository", "another lock", "left in the state"],
)
def test_what_differs_or_lies_about_is_found(
    finished: Small, own: Scratch, path: str, content: str, complaint: str
) -> None:
    planted = own.folder.parent / path
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(content)
    with pytest.raises(AssertionError, match=complaint):
        finished.check(own)


def test_a_file_that_is_gone_is_found(finished: Small, own: Scratch) -> None:
    (own.folder / "params.yaml").unlink()
    with pytest.raises(AssertionError, match=r"lie about, or are gone: params\.yaml"):
        finished.check(own)


def test_what_runs_on_is_found_wherever_it_lies(
    finished: Small, own: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small, "PATIENCE", 0.3)
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path, env=own.environment, start_new_session=True):
        with pytest.raises(AssertionError, match=r"still running: .*sleep 60"):
            finished.check(own)
        assert strike(own, signal.SIGKILL, "stages") == 0
        assert strike(own, signal.SIGKILL) == 1
    finished.check(own)


@pytest.mark.parametrize(
    ("command", "status", "said", "found"),
    [
        (JOBS, 143, "stopped while teacher ran: give the command again to go on", "stopped"),
        (JOBS, 143, "Terminated", "stopped without a word"),
        (JOBS, 130, "error: it was interrupted", "stopped without a word"),
        (JOBS, 1, "error: teacher failed", "failed with a sentence"),
        (DVC, 255, "ERROR: failed to reproduce 'teacher'", "failed with a sentence"),
        (DVC, 1, "what happened?", "status 1 without a word"),
        (DVC, 1, "ERROR: no\nTraceback (most recent call last):", "a traceback"),
        (DVC, 0, "Traceback (most recent call last):", "a traceback"),
        (DVC, 0, "", "had finished"),
    ],
)
def test_how_a_driver_ended_is_told_and_without_a_sentence_it_is_wrong(
    own: Scratch, command: tuple[str, ...], status: int, said: str, found: str
) -> None:
    driver = Driver(own, (sys.executable, "-c", f"print({said!r}); raise SystemExit({status})"))
    driver.command = command
    if found in ("stopped", "failed with a sentence", "had finished"):
        assert driver.ended() == found
    else:
        with pytest.raises(AssertionError, match=found):
            driver.ended()


@pytest.mark.parametrize("sent", [signal.SIGKILL, 0])
def test_who_dies_of_no_signal_of_ours_is_wrong(own: Scratch, sent: int) -> None:
    driver = Driver(own, (sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"))
    driver.sent = sent
    if sent:
        assert driver.ended() == "ended by SIGKILL"
    else:
        with pytest.raises(AssertionError, match="status -9 without a word"):
            driver.ended()


def test_a_driver_that_does_not_end_is_ended_and_found(own: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "LONGEST", 0.3)
    with pytest.raises(AssertionError, match="does not end"):
        Driver(own, ("sleep", "60")).ended()
    nothing_runs(own)


def test_a_run_that_is_cut_off_goes_on_and_strikes_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, struck = tmp_path / "faults.json", []

    def strike(draw: random.Random, folder: Path) -> str:
        number = int(folder.name)
        struck.append(number)
        assert number != 1, "the bytes differ"
        if number == 2 and struck.count(2) == 1:
            raise KeyboardInterrupt
        return "stopped"

    def run() -> int:
        with pytest.raises(SystemExit) as ended:
            command.main()
        return int(str(ended.value.code))

    monkeypatch.setattr(command, "strikes", lambda names, folder: dict.fromkeys(RUNS, strike))
    monkeypatch.setattr(command, "mountable", lambda folder: True)
    monkeypatch.setattr(sys, "argv", ["faults", "--runs", "--count", "4", "--record", str(path)])
    with pytest.raises(KeyboardInterrupt):
        command.main()
    assert "seed 1, number 1, jobs_ended: the bytes differ" in capsys.readouterr().out
    kept = [each.number for each in read(path)]
    assert {0, 1} <= {*kept} and 2 not in kept
    assert run() == 1, "one of them is wrong, though it was struck before"
    assert [(each.number, bool(each.wrong)) for each in read(path)] == [(0, False), (1, True), (2, False), (3, False)]
    assert sorted(struck) == [0, 1, 2, 2, 3], "what was struck is not struck again"


def test_a_fault_that_cannot_be_injected_here_is_said_to_be_skipped(tmp_path: Path) -> None:
    found = command.struck(1, 4, "disk_full", None, tmp_path)
    assert found.skipped and found.outcome == "needs the right to mount a file system"
    assert "| `disk_full` | how | 0, 1 skipped |" in table([found], {"disk_full": "how"})


def test_the_table_counts_outcomes_and_what_was_wrong() -> None:
    struck = [
        Struck(1, 0, "one", "SIGTERM to a stage: stopped", "", 1.0),
        Struck(1, 2, "one", "SIGTERM to all: stopped; SIGKILL to all: ended by SIGKILL", "", 1.0),
        Struck(1, 4, "one", "SIGINT to all: stopped", "", 1.0),
        Struck(1, 6, "one", "wrong", "a byte", 1.0),
    ]
    *_, row = table(struck, {"none": "never", "one": "how"}).splitlines()
    assert row == "| `one` | how | 4 | stopped 2, ended by SIGKILL 1 | same bytes 3, **wrong 1** |"


def test_a_number_that_was_struck_is_known_by_its_seed_too(tmp_path: Path) -> None:
    record = Record(tmp_path / "faults.json")
    record.add(Struck(1, 3, "one", "stopped", "", 1.0))
    again = Record(tmp_path / "faults.json")
    assert again.has(1, 3) and not again.has(2, 3) and not again.has(1, 4)


@pytest.mark.long
def test_a_resume_that_forgets_the_momentum_is_found(tmp_path: Path) -> None:
    """Planted in the code, of SGD alone: what the harness strikes and resumes then ends with other bytes."""
    checkout = tmp_path / "checkout"
    (checkout / "tests").mkdir(parents=True)
    shutil.copy2(ROOT / "tests" / "params.yaml", checkout / "tests")
    bring(checkout)
    text = (checkout / SNAPSHOT).read_text()
    assert text.count(MOMENTUM) == 1
    (checkout / SNAPSHOT).write_text(text.replace(MOMENTUM, f"{MOMENTUM} * (name != 'momentum_buffer')"))
    lineage = small.build(tmp_path / "small", checkout, small.SEEDS[:1])
    own = lineage.fresh(tmp_path / "struck")
    assert own.state is not None
    state = own.state
    driver = Driver(own, DVC)
    wait(lambda: bool([*state.glob("baseline/*/state")]), lambda: driver.said, small.PATIENCE)
    driver.send(signal.SIGTERM, "a stage")
    assert driver.ended() == "failed with a sentence"
    nothing_runs(own)
    with pytest.raises(AssertionError, match="differs: artifacts/baseline/"):
        finish(own, lineage, JOBS)
