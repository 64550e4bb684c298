"""What waits in DVC's queue of experiments, run to its end: by DVC's own workers, or on the machines of a cluster."""

import os
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from functools import partial

from pipeline.base.errors import UserError
from pipeline.base.paths import METRICS
from pipeline.commands.repro import StageRuns
from pipeline.commands.repro_on import connection
from pipeline.config.section import unknown
from pipeline.console.progress import log
from pipeline.dvc import experiments, queue, travel, waiting
from pipeline.engines.engine import Here
from pipeline.engines.room import Room

SIDE_BY_SIDE = 8  # experiments at a time on a cluster: each has a driver on this machine


def run(names: Sequence[str], jobs: int | None, on: str | None) -> int:
    """Run these experiments, all that wait without, and print what came of it; the exit status.

    Args:
        jobs: How many at a time; None is one here, and `SIDE_BY_SIDE` on a cluster.
        on: The engine; None is DVC's own workers.

    Raises:
        UserError: One does not wait, or DVC's workers have died.
    """
    queue.check()
    there = waiting.names()
    for name in names:
        if name not in there:
            raise UserError(unknown("experiment that waits", name, there))
    due = [name for name in there if not names or name in names]
    if not due:
        log("nothing waits in DVC's queue: `dvc exp run --queue` adds an experiment")
        return 0
    if on is not None:
        return run_on(on, due, jobs)
    queue.run(due, jobs or 1, log)
    state = {each.name: each.state for each in experiments.read()}
    if missing := [name for name in due if state.get(name, "gone") is not None]:
        raise UserError(f"not done: {', '.join(missing)}; `dvc queue logs {missing[0]}` tells why")
    return 0


def run_on(engine: str, names: Collection[str], jobs: int | None) -> int:
    """Run experiments that wait on the machines of an engine, and print what came of it; the exit status.

    Each is an experiment of DVC's afterwards; one that failed or was stopped goes on waiting.
    """
    connection(engine)
    return side_by_side((sys.executable, "-m", "pipeline", "repro", "--on", engine), names, jobs)


def side_by_side(command: Sequence[str], names: Collection[str], jobs: int | None) -> int:
    """As `run_on`, with the command that runs the stages it is given, all without, of the repository it is given in."""
    began = time.monotonic()
    jobs = min(jobs or SIDE_BY_SIDE, len(names))
    run = StageRuns()
    here = Here([{}] * jobs, Room([None] * jobs, []), partial(_bring_about, command))
    run.together(dict.fromkeys(names, ()), here)
    run.close(len(names), time.monotonic() - began, "experiments")
    return run.status


def _bring_about(command: Sequence[str], name: str) -> bool:
    """In a process of its own: in the experiment's folder."""
    with waiting.unpacked(name, log) as experiment:
        os.chdir(experiment.folder)
        os.environ.update(experiment.environment)
        status = subprocess.run([*command, *experiment.targets], check=False).returncode
        if status:
            raise UserError(f"it is not done, and goes on waiting in DVC's queue (exit status {status})")
        travel.bring(METRICS)  # by which experiments are compared
        experiment.record()
    return True
