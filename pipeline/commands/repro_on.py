"""`python -m pipeline repro --on`: the stages run on machines that share a DVC remote with this one."""

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from pipeline.base import cpu
from pipeline.base.errors import UserError
from pipeline.base.paths import resolve
from pipeline.commands.repro import PLAN, StageRuns
from pipeline.config import params, resources
from pipeline.config.machine import Machine
from pipeline.config.params import Params
from pipeline.config.resources import Resources
from pipeline.config.yaml import read_yaml
from pipeline.console.progress import log
from pipeline.dvc import internals, place, travel
from pipeline.engines import elsewhere, hosts, schedule
from pipeline.engines.elsewhere import Elsewhere, described, fits
from pipeline.engines.hosts import Host
from pipeline.engines.machines import Machines
from pipeline.engines.room import computes
from pipeline.engines.schedule import Before
from pipeline.planning.specs import sharing

EXTRA = "pip install 'cohobate[ray]'"


class Cluster(Machines, Protocol):
    """Machines that are asked what they are before anything runs there."""

    def hosts(self) -> list[Host]:
        """What each of them is."""
        ...


Connect = Callable[[Path], AbstractContextManager[Cluster]]


def connection(name: str) -> Connect:
    """How to reach the machines of an engine.

    Raises:
        UserError: There is no such engine, or what it needs is not installed.
    """
    if name != "ray":
        raise UserError(f"--on takes ray, not {name!r}")
    try:
        from pipeline.engines import on_ray
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "ray":
            raise
        raise UserError(f"--on ray needs Ray, which is not installed here: `{EXTRA}` installs it") from None
    return on_ray.connected


def repro_on(connect: Connect, targets: list[str], jobs: int | None) -> int:
    """Bring these stages up to date, all without, and print what came of it; the exit status.

    The machines get what a stage reads from the remote, and put there what it leaves; dvc.lock is written here.

    Args:
        jobs: How many stages at a time; None is as many as the machines have room for.

    Raises:
        UserError: The parameters or DVC's files cannot be read, the remote or the machines cannot be used.
    """
    place.check()
    began = time.monotonic()
    read = params.read(Path("params.yaml"))
    needs = internals.needs(targets)
    taken = resources.read([name for name in read_yaml(Path("dvc.yaml"))["stages"] if name != PLAN])
    _check(read.machine, [*needs], taken)
    remote = travel.remote()
    with connect(resolve(read.data.root)) as machines:
        environment = _alike(machines.hosts(), read, any(taken.of(name).gpus for name in needs))
        run = StageRuns()

        def engine(near: set[str]) -> Elsewhere:
            return Elsewhere(machines, remote, taken, needs, near, environment, jobs)

        run.together(schedule.among(needs, {PLAN}), engine({PLAN}))
        rest = schedule.among(needs, needs.keys() - {PLAN})
        run.not_begun = [*rest]
        if run.status == 0:
            due = _due(rest)
            near = elsewhere.near(due, taken)
            _check_room(due - near, read.machine, taken, machines)
            _check_near(near, read.machine)
            run.together(schedule.among(rest, due), engine(near))
        run.close(len(rest), time.monotonic() - began)
    if run.status == 0 and len(run.ended) > 1:
        log("the results are in the remote: `dvc pull` brings all of them here, `dvc pull report.html` one")
    return run.status


def _check(machine: Machine, stages: list[str], taken: Resources) -> None:
    """Refuse settings that would mean something else on each machine."""
    if machine.device not in ("auto", "cpu", "cuda"):
        raise UserError(f"params.yaml: machine.device is {machine.device}, which names one of this machine: use auto")
    if machine.threads is None:
        raise UserError("params.yaml: machine.threads is null, which is another number on each machine: give one")
    for stage in stages:
        gpus = taken.of(stage).gpus
        family = stage.partition("@")[0]
        if gpus > 1:
            raise UserError(f"resources.yaml: {family}.gpus is {gpus}, and a stage uses one: give 1")
        if gpus and machine.device == "cpu":
            raise UserError(f"resources.yaml: {family}.gpus is {gpus}, but params.yaml: machine.device is cpu")


def _check_room(stages: set[str], machine: Machine, taken: Resources, machines: Machines) -> None:
    """Refuse what no machine has, and a GPU that is asked for and not taken."""
    for stage in sorted(stages):
        request = taken.of(stage)
        if not fits([request], machines.offers()):
            raise UserError(f"{stage} takes {described(request)}, which no machine has: see resources.yaml")
        if machine.device == "cuda" and not request.gpus and computes(stage):
            family = stage.partition("@")[0]
            raise UserError(
                f"params.yaml: machine.device is cuda, and {stage} takes no GPU: give `gpus: 1` to {family} in "
                "resources.yaml"
            )


def _check_near(stages: set[str], machine: Machine) -> None:
    """Refuse a device that this machine would choose for itself."""
    if machine.device == "auto" and (computing := sorted(filter(computes, stages))):
        raise UserError(
            f"params.yaml: machine.device is auto, and {computing[0]} reads a file and so runs here, where another "
            "device may be found than on the other machines: name cpu or cuda"
        )


def _alike(workers: list[Host], read: Params, with_gpus: bool) -> dict[str, str]:
    """What is added to the environment of each stage, so that no result depends on where it was made."""
    driver = hosts.this()
    hosts.check(driver, workers, with_gpus)
    fixed = hosts.environment([driver, *workers], read.machine.cpu)
    if fixed and read.machine.cpu is None:
        log(f"the machines have unlike CPUs: all compute by {fixed[cpu.VARIABLES[0]]} (machine.cpu of params.yaml)")
    unused = sum(len(each.gpus) for each in workers)
    if unused and not with_gpus:
        log(f"the cluster has {unused} GPUs, which no stage takes: give stages `gpus: 1` in resources.yaml")
    # A machine that is lost takes what was saved there with it, and another one begins the stage.
    shared = {sharing.VARIABLE: os.environ.get(sharing.VARIABLE, "1")}
    return {"OMP_NUM_THREADS": str(read.machine.threads), **shared, **fixed}


def _due(rest: Before) -> set[str]:
    """What has to run, where all that it reads of the others is in the remote, or has to run, too."""
    due = schedule.due(rest, travel.outdated())
    offered: set[str] = set()
    while supply := {needed for name in due for needed in rest[name]} - due - offered:
        offered |= supply
        due = schedule.due(rest, due | travel.offer(sorted(supply)))
    return due
