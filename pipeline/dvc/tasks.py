"""Tasks of DVC's queue of experiments: those that it calls running, to give one up, and to follow some to their end.

`python -m pipeline.dvc.tasks JOBS NAME …` starts so many workers and follows these experiments; nobody else's.
"""

import sys
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

import psutil
from dvc.repo import Repo
from dvc.ui import ui

from pipeline.base.signals import end_with_parent

PATIENCE = 60.0  # seconds for stages to save their state


@dataclass(frozen=True)
class Task:
    """An experiment that DVC's queue calls running.

    Attributes:
        name: The experiment's, or the beginning of its revision.
        revision: By which DVC knows it.
        pid: Of the process that runs the stages; None before it began.
        returncode: Of that process; None where nobody has seen its end.
    """

    name: str
    revision: str
    pid: int | None = None
    returncode: int | None = None

    def process(self) -> psutil.Process | None:
        """The process that runs the stages; None where there is none, or the number is another one's by now."""
        if self.pid is None or self.returncode is not None:
            return None
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            if any(self.revision in word for word in process.cmdline()):
                return process
        return None


def running() -> list[Task]:
    """All that the queue calls running, whether somebody runs it or not."""
    with Repo() as repo:
        queue = repo.experiments.celery_queue
        found = []
        for entry in queue.iter_active():
            info = queue.proc.get(entry.stash_rev)
            known = (info.pid, info.returncode) if info else (None, None)
            found.append(Task(entry.name or entry.stash_rev[:7], entry.stash_rev, *known))
        return found


def give_up(task: Task) -> None:
    """Let the queue call one failed that nobody runs any more. What still runs without a worker saves its state first.

    `dvc queue kill` alone signals whatever has the process number by now.
    """
    if process := task.process():
        with suppress(psutil.Error):
            below = [process, *process.children(recursive=True)]
            for each in below[1:] or below:
                with suppress(psutil.Error):
                    each.terminate()
            psutil.wait_procs(below, PATIENCE)
    with Repo() as repo:
        queue = repo.experiments.celery_queue
        info = queue.proc.get(task.revision)
        if info and info.returncode is None:
            info.returncode = -1
            queue.proc[task.revision] = info
        queue.kill([task.revision])


def follow(jobs: int, names: list[str]) -> None:
    """Start workers, and show what these experiments print until all have ended."""
    ui.enable()  # as DVC's own command line does; else it prints nothing
    with Repo() as repo:
        queue = repo.experiments.celery_queue
        entries = [each for each in chain(queue.iter_active(), queue.iter_queued()) if each.name in names]
        repo.experiments.reproduce_celery(entries=entries, jobs=jobs)


if __name__ == "__main__":
    end_with_parent()  # whoever waits may be killed: what it followed may be dead, and would be followed for ever
    follow(int(sys.argv[1]), sys.argv[2:])
