"""The stages as DVC has them: what each needs, which have changed, and to run one.

Here, in `looking`, `remote`, `tasks`, `travel`, `waiting` and `cache` alone we use DVC's Python, and a test names what
a new DVC has changed. It takes long to import: nothing but `python -m pipeline repro` does.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import networkx
import psutil
from dvc import rwlock
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo, lock_repo
from dvc.repo.reproduce import _reproduce, get_active_graph, reproduce

from pipeline.base.errors import UserError
from pipeline.config.section import unknown


def needs(targets: list[str]) -> dict[str, set[str]]:
    """Of each stage that `dvc repro` would look at for these targets, all without: the stages that it needs.

    Raises:
        UserError: There is no such target, or DVC cannot read the repository.
    """
    with understood(), Repo(_wait_for_lock=True) as repo, lock_repo(repo):
        graph = asked(repo, targets)
        return {stage.addressing: {each.addressing for each in graph.successors(stage)} for stage in graph}


def asked(repo: Repo, targets: list[str]) -> networkx.DiGraph:
    """The graph of DVC's stages that `dvc repro` would look at for these targets, in the order of dvc.yaml.

    An arrow leads to what is needed.
    """
    graph = get_active_graph(repo.index.graph)
    found = set()
    for target in targets or ["dvc.yaml"]:
        for stage in _collect(repo, target, [each.addressing for each in graph]):
            found |= {stage, *networkx.descendants(graph, stage)}
    graph.remove_nodes_from([each for each in graph if each not in found])  # a view of it would lose the order
    return graph


@contextmanager
def understood() -> Iterator[None]:
    """Turn what DVC says of stages that it cannot read into a `UserError`."""
    try:
        yield
    except DvcException as error:
        if not isinstance(named := _named(error), UserError):
            raise named from None
        raise UserError(f"DVC cannot read the stages ({named}): correct that; a dvc.lock can be deleted") from None


@contextmanager
def worded() -> Iterator[None]:
    """Raise what DVC says, in its words, as a `UserError`, and what keeps it from its work as that is."""
    try:
        yield
    except DvcException as error:
        raise _named(error) from None


@contextmanager
def locked() -> Iterator[None]:
    """Keep DVC from this repository's dvc.lock meanwhile.

    Raises:
        UserError: DVC runs here, or cannot open the repository.
    """
    try:
        with Repo() as repo, lock_repo(repo):
            yield
    except LockError:
        raise UserError("DVC runs in this repository: give the command again when it has ended") from None
    except DvcException as error:
        raise UserError(f"DVC cannot open this repository ({' '.join(str(error).split())}): correct that") from None


def changed() -> set[str]:
    """The stages of which an input, an output or the command is not what dvc.lock records."""
    with Repo(_wait_for_lock=True) as repo:
        return set(repo.status())


def run(stage: str) -> bool:
    """`dvc repro --single-item`; whether the stage was due.

    Raises:
        UserError: It failed, or DVC cannot run it; in DVC's words.
    """
    with worded(), Repo(_wait_for_lock=True) as repo:
        _settle(repo)
        return bool(reproduce(repo, stage, single_item=True))


def run_with_remote(repo: Repo, stage: str) -> bool:
    """The same, where outputs that DVC knows of and the cache does not hold may come from the remote."""
    _settle(repo)
    (found,) = repo.stage.collect(stage)
    with lock_repo(repo):  # and not by `reproduce`, which would bring the remote's whole cache of runs
        return bool(_reproduce([found], interactive=False, pull=True))


def _settle(repo: Repo) -> None:
    # DVC takes a process that was killed for one that works as long as nobody has asked how it ended: in a container
    # whose first process asks for nothing, that is for ever.
    rwlock.psutil = SimpleNamespace(pid_exists=_works)  # pyright: ignore[reportAttributeAccessIssue]
    repo.scm_context.quiet = True  # else it explains `git add dvc.lock` after each stage


def _works(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _collect(repo: Repo, target: str, names: list[str]) -> list[Any]:
    try:
        return list(repo.stage.collect(target))
    except DvcException:
        raise UserError(unknown("stage", target, names)) from None


def _named(error: DvcException) -> Exception:
    """What to raise in place of an error of DVC's: what the system refused, who is in the way, or DVC's words."""
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, OSError):
            return cause
        if isinstance(cause, LockError):
            return UserError(_busy(str(cause)))
    return UserError(": ".join(" ".join(str(cause).split()) for cause in causes))


def _busy(words: str) -> str:
    """The sentence for a lock that another DVC holds; its own ends in the middle of a list."""
    others = re.findall(r"\(PID (\d+)\): (.+)", words)
    who = " and ".join(f"process {number}, `{command.strip()}`" for number, command in others)
    return (
        f"DVC already works in this repository ({who or 'another process'}): give the command again when it has ended"
    )


def _causes(error: BaseException | None) -> list[BaseException]:
    return [error, *_causes(error.__cause__)] if error else []
