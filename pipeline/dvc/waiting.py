"""Experiments that wait in DVC's queue, for whoever runs their stages otherwise than DVC's workers would.

Each gets a folder of its own, as DVC's workers have it, and is recorded from there.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.repo import Repo
from dvc.repo.experiments.executor.local import TempDirExecutor
from dvc.repo.experiments.queue.base import BaseStashQueue, QueueEntry
from dvc.scm import Git

from pipeline.base import locks
from pipeline.base.errors import UserError
from pipeline.dvc import internals, travel
from pipeline.dvc.queue import Log

FOLDERS = "exps/elsewhere"  # below .dvc/tmp
OPTIONS = ("force", "single_item", "downstream", "force_downstream", "dry", "recursive", "glob", "allow_missing")


@dataclass(frozen=True)
class Unpacked:
    """An experiment as a repository: the files as they were when it was queued.

    Attributes:
        targets: The stages that it was queued for; none are all.
        environment: What its commands are given, beside our own.
    """

    folder: Path
    targets: list[str]
    environment: dict[str, str]
    _repo: Repo
    _entry: QueueEntry
    _executor: Any

    def record(self) -> None:
        """Let DVC know it as done, by the dvc.lock in the folder; it waits no longer. We are in the folder.

        Raises:
            UserError: DVC refuses it.
        """
        experiments = self._repo.experiments
        with internals.worded():
            # What other stages left lies elsewhere: all but the plan is recorded already.
            saved = self._executor.save(self._executor.info, targets=[travel.PLAN], force=True)
            saved = saved._replace(force=True)  # a command that was killed may have recorded it a moment ago
            BaseStashQueue.collect_executor(experiments, self._executor, saved)
            experiments.celery_queue.remove([self._entry.stash_rev])

    def close(self) -> None:
        """Remove the folder, and close DVC's hold of its Git repository."""
        self._executor.cleanup()


def names() -> list[str]:
    """The experiments that wait, in their order."""
    with internals.worded(), Repo() as repo:
        return [_name(each) for each in repo.experiments.celery_queue.iter_queued()]


@contextmanager
def unpacked(name: str, log: Log) -> Iterator[Unpacked]:
    """Yield an experiment that waits, in a folder that is gone afterwards; one command at a time has it.

    log: Told of another command that is waited for.

    Raises:
        UserError: It does not wait any more.
    """
    with internals.worded(), Repo() as repo:
        folder = Path(str(repo.tmp_dir)) / FOLDERS / name
        with locks.held(folder, lambda number: log(f"process {number} runs {name}: waiting for it")):
            try:
                for left in folder.glob("*/"):  # by one that was killed
                    shutil.rmtree(left)
                with closing(_unpacked(repo, name, folder)) as experiment:
                    yield experiment
            finally:
                shutil.rmtree(folder, ignore_errors=True)  # another may look at it just now


def _unpacked(repo: Repo, name: str, folder: Path) -> Unpacked:
    entry = next((each for each in repo.experiments.celery_queue.iter_queued() if _name(each) == name), None)
    if entry is None:
        raise UserError(f"{name} does not wait in DVC's queue any more: `dvc queue status` tells what became of it")
    executor = _executor(repo, entry, folder)
    top = Path(executor.root_dir, executor.info.dvc_dir).parent
    environment = {"DVC_ROOT": repo.root_dir, "DVC_EXP_NAME": name}
    return Unpacked(top, _targets(top, name), environment, repo, entry, executor)


def _executor(repo: Repo, entry: QueueEntry, folder: Path) -> TempDirExecutor:
    # DVC's `get_stash_entry` would take it from the queue at once, and a kill would lose it.
    stashed = repo.experiments.celery_queue.stash.stash_revs[entry.stash_rev]
    made = TempDirExecutor.from_stash_entry(repo, stashed, wdir=os.fspath(folder))
    assert isinstance(repo.scm, Git)  # without it there are no experiments
    made.init_git(repo, repo.scm, entry.stash_rev, stashed, None, branch=stashed.branch)
    made.init_cache(repo, entry.stash_rev)
    remote = travel.remote()
    made._update_config({f'remote "{remote.name}"': {"url": remote.url}})  # where a path in .dvc/config is relative
    return made


def _targets(folder: Path, name: str) -> list[str]:
    """What `dvc exp run --queue` was given, which DVC has put beside the files.

    Raises:
        UserError: It was given an option that machines do not know.
    """
    path = folder / ".dvc" / "tmp" / TempDirExecutor.PACKED_ARGS_FILE
    targets, options = TempDirExecutor.unpack_repro_args(path)
    path.unlink()
    if unknown := [each for each in OPTIONS if options.get(each)]:
        raise UserError(
            f"{name} was queued with --{unknown[0].replace('_', '-')}, which machines do not know: queue it without, "
            f"after `dvc queue remove {name}`"
        )
    return [*(targets or options.get("targets") or [])]


def _name(entry: QueueEntry) -> str:
    return entry.name or entry.stash_rev[:7]
