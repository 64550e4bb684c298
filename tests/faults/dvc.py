"""Faults of whole runs: DVC, its stage or both are ended at a random moment; several runs at once.

Each works in a copy of the repository, in which the refinery's branch of the graph is to run anew.
"""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.compare import difference, results
from tests.scratch import Scratch

Family = Callable[[Scratch, dict[str, str], random.Random, Path], str]
BRANCH = ("artifacts/data", "artifacts/baseline", "artifacts/refinery", "artifacts/refined")
COMMAND = ("dvc", "repro", "refined")
LONGEST = 240.0


def ended_anywhere(scratch: Scratch, made: dict[str, str], draw: random.Random, folder: Path) -> str:
    """SIGKILL, SIGTERM or SIGINT to DVC, to the stage, or to the group, at a random moment of `dvc repro`."""
    own = _copy(scratch, folder)
    number = draw.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    whom = draw.choice(["DVC", "the stage", "the group"])
    process = own.start(*COMMAND)
    time.sleep(draw.uniform(1, 20))
    _send(process, number, whom)
    said = _end(process)
    assert "Traceback" not in said, said
    _finish(own, made)
    return f"{number.name} to {whom}: {'finished before' if process.returncode == 0 else 'ended'}"


def two_at_once(scratch: Scratch, made: dict[str, str], draw: random.Random, folder: Path) -> str:
    """Two `dvc repro` in one repository: DVC's lock lets one run, and the other says so or waits."""
    own = _copy(scratch, folder)
    first = own.start(*COMMAND)
    time.sleep(draw.uniform(0, 3))
    second = own.start(*COMMAND)
    said = [_end(each) for each in (first, second)]
    assert not any("Traceback" in each for each in said), said
    assert 0 in (first.returncode, second.returncode), said
    _finish(own, made)
    return "one ran, the other was refused or followed"


def beside_an_experiment(scratch: Scratch, made: dict[str, str], draw: random.Random, folder: Path) -> str:
    """`dvc exp run --temp` beside `dvc repro`, both in need of the same networks; one of them may be killed."""
    own = _copy(scratch, folder)
    both = [own.start(*COMMAND), own.start("dvc", "exp", "run", "--temp", "refined")]
    victim = draw.choice([None, *both])
    if victim is not None:
        time.sleep(draw.uniform(4, 15))
        _send(victim, signal.SIGKILL, "the group")
    said = [_end(each) for each in both]
    for each, words in zip(both, said, strict=True):
        assert each is victim or each.returncode == 0, words
        assert "Traceback" not in words, words
    _finish(own, made)
    return "both ran" if victim is None else "one was killed, the other ran"


def beside_a_queue(scratch: Scratch, made: dict[str, str], draw: random.Random, folder: Path) -> str:
    """A queued experiment of other parameters beside `dvc repro`: neither changes the other's result."""
    own = _copy(scratch, folder)
    own.run("dvc", "exp", "run", "--queue", "-S", "refinery.recipe.lr=0.5", "refined")
    own.run("dvc", "queue", "start")
    _end(repro := own.start(*COMMAND))
    end = time.monotonic() + LONGEST
    while "Running" in (status := own.run("dvc", "queue", "status")) or "Queued" in status:
        assert time.monotonic() < end, status
        time.sleep(0.5)
    assert "Success" in status, status
    assert repro.returncode == 0
    _finish(own, made)
    return "both ran"


def _copy(scratch: Scratch, folder: Path) -> Scratch:
    """A copy in which the branch has not run, and whose state nobody has."""
    own = scratch.copy(folder / "repository", folder / "state")
    for name in ("dvc.lock", "artifacts", "metrics", "curves", "plan"):
        path = own.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    shutil.rmtree(own.folder / ".dvc" / "cache", ignore_errors=True)
    return own


def _send(process: subprocess.Popen[str], number: signal.Signals, whom: str) -> None:
    try:
        if whom == "the group":
            os.killpg(process.pid, number)
        elif whom == "DVC":
            process.send_signal(number)
        else:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            for child in children:
                os.kill(int(child), number)
    except (ProcessLookupError, FileNotFoundError):
        return  # it was faster


def _end(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=LONGEST)
    return said


def _finish(own: Scratch, made: dict[str, str]) -> None:
    """Run to the end, and compare the branch with the undisturbed run's."""
    own.run(*COMMAND)
    found = results(own.folder, *BRANCH)
    expected = {path: made[path] for path in made if path.startswith(BRANCH)}
    assert found == expected, f"differs: {difference(found, expected)}"
    shutil.rmtree(own.folder.parent)


RUNS: dict[str, Family] = {
    family.__name__: family for family in (ended_anywhere, two_at_once, beside_an_experiment, beside_a_queue)
}
