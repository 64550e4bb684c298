"""The stages as DVC finds them now, looked at without a trace: what each reads and leaves, and what of that changed.

DVC's own `status` writes: a lock, who reads what, lines of .gitignore; and it removes what is damaged in its cache.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import networkx
from dvc.dependency.base import Dependency
from dvc.repo import Repo
from dvc.stage.cache import _get_cache_hash
from dvc.stage.serialize import to_single_stage_lockfile
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.meta import Meta

from pipeline.dvc import cache, internals
from pipeline.dvc.run_cache import RunCache

Hashes = Mapping[str, str]  # MD5 of each input, by its path


@dataclass(frozen=True)
class StageInput:
    """Something that a stage reads.

    Attributes:
        path: Relative to the repository.
        recorded: Its hash when the stage last ran, as dvc.lock has it; None where it did not read that.
        now: The hash of what lies there; None where nothing does, and where it is not needed: of the very output of a
            stage, and of what is planned.
        makers: The stages that make it, something in it, or what it lies in.
        is_output: Whether it is the very output of one.
    """

    path: str
    recorded: str | None
    now: str | None
    makers: tuple[str, ...]
    is_output: bool


@dataclass(frozen=True)
class StageOutput:
    """Something that a stage leaves.

    Attributes:
        path: Relative to the repository.
        recorded: Its hash when the stage last ran; None where it did not leave that.
        fault: In which way it is no longer there, in words; None where it is.
    """

    path: str
    recorded: str | None
    fault: str | None


@dataclass(frozen=True)
class StageLook:
    """A stage as DVC finds it.

    Attributes:
        command: What it runs.
        always: Whether it runs each time.
        idle: Whether it runs nothing at all: it is frozen, or has no command.
        has_run: Whether dvc.lock knows of a run.
        command_changed: Whether that run was of another command.
        reads_files: Whether all that it reads are files or folders here; DVC also knows keys of params and remote ones.
        key: Under which DVC keeps a run of it that read these; None where DVC keeps none.
    """

    name: str
    command: str
    always: bool
    idle: bool
    has_run: bool
    command_changed: bool
    reads_files: bool
    inputs: tuple[StageInput, ...]
    outputs: tuple[StageOutput, ...]
    key: Callable[[Hashes], str | None]


def stages(targets: list[str], planned: Mapping[str, Any]) -> list[StageLook]:
    """The stages that `dvc repro` would look at for these targets, all without, each after those that it needs.

    In the repository nothing is written. (DVC's list of known hashes, which lies elsewhere, may grow.)

    Args:
        planned: Paths of which it is known what will stand there, whatever stands there now.

    Raises:
        UserError: There is no such target, or DVC cannot read the repository.
    """
    with internals.understood(), _opened() as repo:
        graph = internals.asked(repo, targets)
        makers = {str(out): stage for stage in repo.index.stages for out in stage.outs}
        held = RunCache(cache.folder())
        return [_look(stage, makers, planned, held) for stage in networkx.dfs_postorder_nodes(graph)]


class _Untouched(Repo):
    """DVC's repository without what it writes when it is opened: that goes to a folder aside."""

    def __init__(self, aside: str) -> None:
        self.aside = aside
        super().__init__()

    @property
    def tmp_dir(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.aside

    @property
    def _btime(self) -> float | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """When DVC first worked here, which names its list of known hashes; None where it never did."""
        try:
            return os.path.getmtime(os.path.join(str(self.dvc_dir), "tmp", "btime"))
        except FileNotFoundError:
            return None

    @property
    def site_cache_dir(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.aside if self._btime is None else super().site_cache_dir

    def _ignore(self) -> None:
        pass


@contextmanager
def _opened() -> Iterator[Repo]:
    with TemporaryDirectory(prefix="cohobate.") as aside, _Untouched(aside) as repo:
        yield repo


def _look(stage: Any, makers: Mapping[str, Any], planned: Mapping[str, Any], held: RunCache) -> StageLook:
    plain = all(type(dep) is Dependency for dep in stage.deps)

    def key(hashes: Hashes) -> str | None:
        if not (plain and stage.deps and stage.outs):
            return None
        for dep in stage.deps:
            dep.hash_info = HashInfo("md5", hashes[str(dep)])
            dep.meta = Meta(isexec=dep.meta.isexec)  # the size does not count, and the old hash stands there, too
        return _get_cache_hash(to_single_stage_lockfile(stage), key=True)

    # One may be listed twice, as a teacher that is also where the weights start.
    inputs = tuple(_input(dep, makers, planned) for dep in {str(dep): dep for dep in stage.deps}.values())
    outputs = tuple(_output(out, held) for out in stage.outs)
    return StageLook(
        name=stage.addressing,
        command=str(stage.cmd),
        always=stage.always_changed or stage.is_callback,
        idle=stage.frozen or not stage.cmd,
        has_run=any(each.recorded for each in (*inputs, *outputs)),
        command_changed=stage.changed_stage(),
        reads_files=plain,
        inputs=inputs,
        outputs=outputs,
        key=key,
    )


def _input(dep: Any, makers: Mapping[str, Any], planned: Mapping[str, Any]) -> StageInput:
    path, recorded = str(dep), _value(dep.hash_info)
    if type(dep) is not Dependency:
        return StageInput(path, recorded, "other" if dep.status() else recorded, (), is_output=False)
    if path in makers:
        return StageInput(path, recorded, None, (makers[path].addressing,), is_output=True)
    found = {maker.addressing for out, maker in makers.items() if _overlap(out, path)}
    now = None if path in planned or not dep.exists else _value(dep.get_hash())
    return StageInput(path, recorded, now, tuple(sorted(found)), is_output=False)


def _output(out: Any, held: RunCache) -> StageOutput:
    recorded, fault = _value(out.hash_info), None
    if recorded and out.use_cache and not held.holds(recorded):
        fault = "is not in DVC's cache"
    elif not out.exists:
        fault = "is missing"
    elif out.changed_checksum():
        fault = "was changed" if recorded else "is not of a run"
    return StageOutput(str(out), recorded, fault)


def _value(found: HashInfo | None) -> str | None:
    return str(found.value) if found else None


def _overlap(one: str, other: str) -> bool:
    """Whether one of two paths lies in the other."""
    return one.startswith(f"{other}/") or other.startswith(f"{one}/")
