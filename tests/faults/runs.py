"""Faults of whole runs: a driver, its stages, the queue, the state or the disk is struck; the other driver goes on.

Each works in a fresh copy of the small lineage in which nothing has run, and returns what the struck run did, in a word
or two. After it nothing may run, and every byte must be that of the undisturbed run.
"""

import random
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.faults.driver import DVC, JOBS, OTHER, SEEDS, SIGNALS, WHOM, Driver, resumed, strike
from tests.faults.mounts import ROOM, limited, mounted, used
from tests.faults.small import STAGES, TARGETS, Small, nothing_runs
from tests.scratch import Scratch

Run = Callable[[Small, random.Random, Path], str]
WORKING = STAGES[1:]
QUEUED = "queued"
QUEUE = ("queue-worker", "exec-run", "stages")  # words in the commands of what a queue starts


def dvc_ended(small: Small, draw: random.Random, folder: Path) -> str:
    """`dvc repro` is sent SIGKILL, SIGTERM or SIGINT, or its group, a stage or all are; `repro --jobs 2` goes on."""
    return _ended(small.fresh(folder), small, draw, DVC)


def jobs_ended(small: Small, draw: random.Random, folder: Path) -> str:
    """`repro --jobs 2` is sent SIGKILL, SIGTERM or SIGINT, or its group, a stage or all are; `dvc repro` goes on."""
    return _ended(small.fresh(folder), small, draw, JOBS)


def linked_cache(small: Small, draw: random.Random, folder: Path) -> str:
    """DVC's cache holds the files, the workspace hard or symbolic links; either driver is ended as above."""
    own = small.fresh(folder)
    kind = draw.choice(["hardlink", "symlink"])
    own.run("dvc", "config", "--local", "cache.type", kind)
    said = _ended(own, small, draw, draw.choice([DVC, JOBS]))
    for path in (own.folder / "artifacts").rglob("*.safetensors"):
        assert path.is_symlink() if kind == "symlink" else path.stat().st_nlink > 1, f"{path} is no {kind}"
    return f"{kind}: {said}"


def state_removed(small: Small, draw: random.Random, folder: Path) -> str:
    """The folder of training state is removed while a driver runs, or after it was stopped; the other goes on."""
    own, command, stage = small.fresh(folder), draw.choice([DVC, JOBS]), draw.choice(WORKING)
    assert own.state is not None
    driver = Driver(own, command)
    driver.reach(stage, draw.uniform(0, small.seconds))
    runs = draw.random() < 0.5
    if not runs:
        driver.send(signal.SIGTERM, "all")
        driver.ended()
        nothing_runs(own)
    shutil.rmtree(own.state, ignore_errors=True)
    said = driver.ended()
    finish(own, small, OTHER[command])
    return f"removed while it ran: {said}" if runs else "removed after a stop"


def disk_full(small: Small, draw: random.Random, folder: Path) -> str:
    """A file system of its own, which is full from a random moment on (needs the right to mount); the other goes on."""
    with mounted(folder):
        own, command, stage = small.fresh(folder), draw.choice([DVC, JOBS]), draw.choice(WORKING)
        driver = Driver(own, command)
        driver.reach(stage, draw.uniform(0, small.seconds))
        _fill(folder, draw.choice([0, draw.randrange(200_000)]))
        said = driver.ended()
        nothing_runs(own)
        limited(folder, ROOM)
        finish(own, small, OTHER[command])
    return said


def workers_killed(small: Small, draw: random.Random, folder: Path) -> str:
    """SIGKILL to the workers of a queue of two seeds, to what they run, or to all; `seeds` again runs the rest."""
    own, stage = small.fresh(folder), draw.choice(WORKING)
    whom = draw.choice(["the workers", "the workers and what they run", "all"])
    driver = Driver(own, SEEDS)
    driver.reach(stage, draw.uniform(0, small.seconds))
    if whom == "all":
        driver.send(signal.SIGKILL, whom)
    for words in {"the workers": ("queue-worker",), "the workers and what they run": QUEUE}.get(whom, ()):
        strike(own, signal.SIGKILL, words)
    said = driver.ended()
    nothing_runs(own)
    resumed(own, SEEDS)
    nothing_runs(own)
    rows = own.run("dvc", "exp", "list", "--names-only").split()
    names = sorted(name for name in rows if name.startswith("seeds-"))
    assert len(names) == 2, f"two seeds, not {names}"
    for name in names:
        small.check_experiment(own, name, name.rpartition("-")[2])
    finish(own, small, draw.choice([DVC, JOBS]))
    return f"{whom}: {said}"


def two_at_once(small: Small, draw: random.Random, folder: Path) -> str:
    """Two drivers in one repository: the second waits, or is refused; one of them ends well."""
    own, first, second = small.fresh(folder), draw.choice([DVC, JOBS]), draw.choice([DVC, JOBS])
    both = [Driver(own, first)]
    both[0].reach(draw.choice(STAGES), draw.uniform(0, small.seconds))
    both.append(Driver(own, second))
    said = [each.ended() for each in both]
    assert "had finished" in said, "\n".join(each.tail for each in both)
    finish(own, small, OTHER[first])
    return f"{said[0]}, {said[1]}"


def beside_an_experiment(small: Small, draw: random.Random, folder: Path) -> str:
    """`dvc exp run --temp` beside a driver, both in need of the same networks; one is killed, or neither."""
    own = small.fresh(folder)
    both = [Driver(own, draw.choice([DVC, JOBS])), Driver(own, ("dvc", "exp", "run", "--temp", *TARGETS))]
    victim = draw.choice([None, *both])
    if victim is not None:
        victim.reach(draw.choice(WORKING), draw.uniform(0, small.seconds))
        victim.send(signal.SIGKILL, "its group")
    for each in both:
        said = each.ended()
        assert each is victim or said == "had finished", each.tail
    finish(own, small, draw.choice([DVC, JOBS]))
    return "both ran" if victim is None else "one was killed, the other ran"


def beside_a_queue(small: Small, draw: random.Random, folder: Path) -> str:
    """A queued experiment of another seed beside a driver: neither changes the other's result."""
    own = small.fresh(folder)
    own.run("dvc", "exp", "run", "--queue", "--name", QUEUED, "-S", "seeds.train=1", *TARGETS)
    own.run("dvc", "queue", "start")
    driver = Driver(own, draw.choice([DVC, JOBS]))
    assert driver.ended() == "had finished", driver.tail
    nothing_runs(own)
    small.check_experiment(own, QUEUED, "1")
    finish(own, small, draw.choice([DVC, JOBS]))
    return "both ran"


def _ended(own: Scratch, small: Small, draw: random.Random, command: tuple[str, ...]) -> str:
    """Strike a driver once or twice; the other one goes on each time, the last time to the end."""
    said = []
    for _ in range(draw.choice([1, 1, 1, 2])):
        number, whom, stage = draw.choice(SIGNALS), draw.choice(WHOM), draw.choice(WORKING)
        driver = Driver(own, command)
        driver.reach(stage, draw.uniform(0, small.seconds))
        driver.send(number, whom)
        said.append(f"{number.name} to {whom}: {driver.ended()}")
        nothing_runs(own)
        command = OTHER[command]
    finish(own, small, command)
    return "; ".join(said)


def _fill(folder: Path, room: int) -> None:
    """Leave so much room, or a little more: what is written meanwhile may be more than the limit that we ask for."""
    for more in range(8):
        with suppress(subprocess.CalledProcessError):
            limited(folder, used(folder) + room + (1 << 12 + more))
            return
    raise AssertionError("the file system takes no limit")


def finish(own: Scratch, small: Small, command: tuple[str, ...]) -> None:
    """Run to the end, compare with the undisturbed run, and clean up."""
    resumed(own, command)
    small.check(own)
    for path in own.folder.parent.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


RUNS: dict[str, Run] = {
    family.__name__: family
    for family in (
        dvc_ended,
        jobs_ended,
        linked_cache,
        state_removed,
        disk_full,
        workers_killed,
        two_at_once,
        beside_an_experiment,
        beside_a_queue,
    )
}
MOUNTED = (disk_full.__name__,)  # need the right to mount a file system
