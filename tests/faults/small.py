"""The lineage on which whole runs are struck: five stages that work, and shell lines in place of all others.

A run takes seconds, since a stage takes as long as torch takes to import. The graph stays whole, so that what runs
without targets, such as a queue, runs here, too.
"""

import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from pipeline.commands.wire import wired
from pipeline.config.yaml import read_yaml
from tests.faults.compare import difference, results
from tests.faults.graph import resize
from tests.scratch import COMMIT, METHODS, ROOT, Scratch, create

STAGES = ("plan", "prepare", "teacher", "baseline", "direct")  # that work
TARGETS = ("baseline", "direct")  # what needs them all, and side by side
LENGTHS = {"assistant": 1, "refinery": 1, "born_again": 1, "compress": 1}
# Trainings of about a second, so that some are struck in the middle.
SMALL: dict[str, Any] = {
    "labels": {"views": 2},
    "teacher": {"recipe": {"epochs": 40}},
    "baseline": {"recipe": {"epochs": 60, "keep": "best", "ema": 0.9, "accumulate": 2}},
    "direct": {"recipe": {"epochs": 60, "optimizer": "torch.optim.RAdam", "lr": 0.01, "head_lr": 0.02}},
    "refinery": {"generations": 1},
    "compress": {"order": ["prune"]},
}
SEEDS = ("0", "1")  # of training: that of params.yaml, and the next one, which a queue runs
PATIENCE = 240.0  # seconds: an experiment whose worker is dead runs to its end


@dataclass(frozen=True)
class Small:
    """A finished run, and what is expected of each that was struck.

    Attributes:
        finished: A repository in which an undisturbed `dvc repro` has run.
        files: Every file of its results, by path; SHA-256, less timings.
        locks: What dvc.lock says of the working stages, less timings, by seed of training.
        seconds: What a stage takes here, DVC's part included.
    """

    finished: Scratch
    files: dict[str, str]
    locks: dict[str, dict[str, Any]]
    seconds: float = 3.0

    def fresh(self, folder: Path) -> Scratch:
        """A repository in which nothing has run, and whose state nobody has."""
        return _emptied(self.finished.copy(folder / "repository", folder / "state"))

    def check(self, own: Scratch) -> None:
        """Nothing runs, every file is that of the undisturbed run, and no other lies about.

        Raises:
            AssertionError: It is not so.
        """
        nothing_runs(own)
        found = results(own.folder)
        assert found == self.files, f"differs: {difference(found, self.files)}"
        expected, recorded = self.locks[SEEDS[0]], lock(own.folder.joinpath("dvc.lock").read_text())
        assert recorded == expected, f"dvc.lock differs: {recorded}, not {expected}"
        strange = _files(self.finished.folder) ^ _files(own.folder)
        assert not strange, f"lie about, or are gone: {', '.join(sorted(strange)[:5])}"
        assert own.state is not None
        temporary = [str(path) for path in own.state.rglob("*") if path.name.endswith(".tmp")]
        assert not temporary, f"temporary files in the state: {temporary}"

    def check_experiment(self, own: Scratch, name: str, seed: str) -> None:
        """There is such an experiment, and its dvc.lock names the bytes of the undisturbed run of that seed."""
        references = own.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
        found = [each for each in references if each.endswith(f"/{name}")]
        assert len(found) == 1, f"one experiment {name}, not {found} of {references}"
        recorded = lock(own.run("git", "show", f"{found[0]}:dvc.lock"))
        assert recorded == self.locks[seed], f"the experiment {name} differs: {recorded}, not {self.locks[seed]}"


def build(folder: Path, root: Path = ROOT, seeds: Sequence[str] = SEEDS) -> Small:
    """Make the lineage of our code, or another checkout's, in `folder`; run it undisturbed with each seed."""
    first, *others = seeds
    scratch = create(folder / first / "repository", root)
    resize(scratch.folder, LENGTHS, [*METHODS])
    _stand_in(scratch.folder / "dvc.yaml")
    scratch.edit(SMALL)
    scratch.run(*COMMIT)
    of = {first: Scratch(scratch.folder, folder / first / "state")}
    of |= {seed: scratch.copy(folder / seed / "repository", folder / seed / "state") for seed in others}

    def run(seed: str) -> dict[str, Any]:
        of[seed].edit({"seeds": {"train": int(seed)}})
        of[seed].run("dvc", "repro", *TARGETS)
        return lock((of[seed].folder / "dvc.lock").read_text())

    began = time.monotonic()
    with ThreadPoolExecutor() as pool:
        locks = dict(zip(seeds, pool.map(run, seeds), strict=True))
    assert all(locks[first] != locks[seed] for seed in others), "another seed, another network"
    seconds = (time.monotonic() - began) / len(STAGES)
    return Small(of[first], results(of[first].folder), locks, seconds)


def lock(text: str) -> dict[str, Any]:
    """What a dvc.lock says of the working stages but `plan`, less outs in which timings stand."""
    read = yaml.safe_load(text)["stages"]
    return {
        name: {
            "deps": read[name].get("deps"),
            "outs": [out for out in read[name]["outs"] if out["path"].startswith("artifacts/")],
        }
        for name in STAGES[1:]
        if name in read
    }


def running(own: Scratch) -> list[psutil.Process]:
    """Processes that work for the repository, wherever they lie: its state's folder is in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(own.state) in process.environ().values() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def nothing_runs(own: Scratch) -> None:
    """Wait until no process works for the repository.

    Raises:
        AssertionError: One still does after a long time.
    """
    wait(lambda: _is_quiet(own), lambda: f"still running: {[_named(each) for each in running(own)]}", PATIENCE)


def _is_quiet(own: Scratch) -> bool:
    """Whether two looks find nothing: one may come while a process becomes another program, and has no environment.

    Nor is there a process that has ended and nobody has asked how, to which DVC has given a lock: `dvc repro` waits for
    it, and on a busy machine it is there for a while.
    """
    if running(own):
        return False
    time.sleep(0.05)
    locks = own.folder / ".dvc" / "tmp" / "rwlock"
    named = re.findall(r'"pid": (\d+)', locks.read_text()) if locks.exists() else []
    return not running(own) and not any(psutil.pid_exists(int(pid)) for pid in named)


def wait(until: Callable[[], bool], complaint: Callable[[], str], seconds: float) -> None:
    """Wait until something is so; an `AssertionError` with that complaint where it takes too long."""
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, complaint()
        time.sleep(0.05)


def _named(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {shlex.join(process.cmdline())[-120:]}"
    except psutil.Error:
        return f"{process.pid}, which has just ended"


def _emptied(own: Scratch) -> Scratch:
    for name in ("artifacts", "metrics", "curves", "plan", ".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(own.folder / name, ignore_errors=True)
    (own.folder / "dvc.lock").unlink()
    return own


def _stand_in(path: Path) -> None:
    """Let a shell line make the outs of all stages but those that work."""
    whole = read_yaml(path)
    for name, stage in whole["stages"].items():
        body = stage.get("do", stage)
        if name in STAGES:
            continue
        outs = [out if isinstance(out, str) else next(iter(out)) for out in body["outs"]]
        files = [out for out in outs if Path(out).suffix]
        made = [f"{out}/made" for out in outs if out not in files] + files
        folders = sorted({str(Path(each).parent) for each in made})
        body["cmd"] = f"mkdir -p {' '.join(folders)} && printf '{{}}' | tee {' '.join(made)}"
    path.write_text(wired(yaml.safe_dump(whole, sort_keys=False)))


def _files(folder: Path) -> set[str]:
    """What lies in a repository, less what git and DVC keep for themselves, and what Python compiles."""
    listed = subprocess.run(["find", ".", "-type", "f", "-o", "-type", "l"], cwd=folder, capture_output=True, text=True)
    paths = {line.removeprefix("./") for line in listed.stdout.splitlines()}
    return {path for path in paths if not path.startswith((".git/", ".dvc/")) and "__pycache__" not in path}
