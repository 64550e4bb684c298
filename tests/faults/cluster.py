"""Faults of runs on several machines: a machine, the driver, or the remote is struck, or two drivers work at once.

The machines are folders with a cache and a state of their own, as `tests/engines/fake_machines.py` has them; what a
lost one did is begun again on the other, as Ray does. After each the results are pulled, every byte must be that of the
undisturbed run on one machine, and `dvc repro` has nothing to do.
"""

import random
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

from pipeline.engines.workspace import VARIABLE
from tests.faults.driver import ON, SIGNALS, Driver, resumed
from tests.faults.runs import Run
from tests.faults.small import STAGES, TARGETS, Small, nothing_runs, running
from tests.scratch import Scratch

MACHINES = ("a", "b")  # those of the fake ones
THERE = STAGES[2:]  # what they run: the rest runs beside the driver
LONGER = 3  # as long as a stage takes here, as it is fetched for and sent


def machine_lost(small: Small, draw: random.Random, folder: Path) -> str:
    """SIGKILL to all that one of the two machines runs, in training, fetching or putting; the driver goes on."""
    own = small.fresh(folder)
    driver = Driver(own, _shared(own))
    driver.reach(draw.choice(THERE), draw.uniform(0, LONGER * small.seconds))
    struck = _lost(own, draw.choice(MACHINES))
    said = driver.ended()
    assert said == "had finished", driver.tail
    _finish(own, small)
    return "it ran something" if struck else "it ran nothing"


def driver_ended(small: Small, draw: random.Random, folder: Path) -> str:
    """SIGKILL, SIGTERM or SIGINT to the driver; given again, it goes on, also beside machines still at work."""
    own, number = small.fresh(folder), draw.choice(SIGNALS)
    driver = Driver(own, _shared(own))
    driver.reach(draw.choice(STAGES), draw.uniform(0, LONGER * small.seconds))
    driver.send(number, "the driver")
    said = driver.ended()
    if draw.random() < 0.5:
        nothing_runs(own)
    _finish(own, small)
    return f"{number.name}: {said}"


def remote_gone(small: Small, draw: random.Random, folder: Path) -> str:
    """The remote cannot be used for some seconds; what fails of it says so, and the command again goes on."""
    own = small.fresh(folder)
    driver = Driver(own, _shared(own))
    driver.reach(draw.choice(THERE), draw.uniform(0, LONGER * small.seconds))
    remote = _remote(own)
    aside = remote.with_name("gone")
    remote.rename(aside)
    remote.touch()  # no folder can be made there
    time.sleep(draw.uniform(1, 8))
    remote.unlink()
    aside.rename(remote)
    said = driver.ended()
    _finish(own, small)
    return said


def two_drivers(small: Small, draw: random.Random, folder: Path) -> str:
    """Two drivers in one repository, of which one may be killed; one of them ends well, or the command again does."""
    own = small.fresh(folder)
    both = [Driver(own, _shared(own))]
    both[0].reach(draw.choice(STAGES), draw.uniform(0, LONGER * small.seconds))
    both.append(Driver(own, ON))
    victim = draw.choice([None, *both])
    if victim is not None:
        victim.reach(draw.choice(THERE), draw.uniform(0, LONGER * small.seconds))
        victim.send(signal.SIGKILL, "the driver")
    said = [each.ended() for each in both]
    assert victim is not None or "had finished" in said, "\n".join(each.tail for each in both)
    _finish(own, small)
    return f"{', '.join(said)}"


def _shared(own: Scratch) -> tuple[str, ...]:
    """What runs on the machines, after the repository has a remote of its own."""
    _remote(own).mkdir()
    own.run("dvc", "remote", "add", "--default", "common", str(_remote(own)))
    return ON


def _remote(own: Scratch) -> Path:
    return own.folder.parent / "remote"


def _lost(own: Scratch, machine: str) -> int:
    """End all that a machine runs, at once; how many there were."""
    home, struck = str(own.folder.parent / machine), 0
    for process in running(own):
        with suppress(psutil.Error):
            if process.environ().get(VARIABLE) == home:
                process.kill()
                struck += 1
    return struck


def _finish(own: Scratch, small: Small) -> None:
    """Run to the end, bring the results here, compare with the undisturbed run, and clean up."""
    resumed(own, ON)
    nothing_runs(own)
    own.run("dvc", "pull", *STAGES[1:])
    small.check(own)
    again = own.repro(*TARGETS)
    assert again == ["plan"], f"`dvc repro` runs {', '.join(again)} again"
    for path in own.folder.parent.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


CLUSTER: dict[str, Run] = {each.__name__: each for each in (machine_lost, driver_ended, remote_gone, two_drivers)}
