"""Stages on other machines, as the driver sees them: what each is sent, and what becomes of what it sends back.

What is no dependency of the graph lies on this machine alone: stages that read such files run here.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import PLAN
from pipeline.config.resources import Request, Resources
from pipeline.dvc import lock, travel
from pipeline.dvc.address import Remote
from pipeline.engines import once
from pipeline.engines.engine import EVERY, StageWork
from pipeline.engines.machines import Ended, Errand, Handle, Machines, Offer
from pipeline.engines.once import Once
from pipeline.engines.process import UNCHANGED, Process, reason
from pipeline.engines.schedule import Before

GRAPH = Path("dvc.yaml")
PREPARE = "prepare"  # it reads the images


@dataclass(frozen=True)
class Refused:
    """An errand that never went out, and why."""

    why: str

    def ended(self) -> Ended:
        """It has, at once."""
        return Ended(1, f"error: {self.why}", None, "")

    def stop(self) -> None:
        """There is nothing to stop."""


class Elsewhere:
    """The machines as an engine.

    Args:
        needs: Of each stage, those that it needs.
        near: Stages that run here.
        environment: Added to that of each stage, wherever it runs.
        most: How many stages at a time; None is as many as the machines have room for.
    """

    def __init__(
        self,
        machines: Machines,
        remote: Remote,
        resources: Resources,
        needs: Before,
        near: Collection[str],
        environment: dict[str, str],
        most: int | None = None,
    ) -> None:
        self.machines = machines
        self.remote = remote
        self.resources = resources
        self.needs = needs
        self.near = near
        self.environment = environment
        self.places = most or len(needs)
        self._here: set[str] = set()
        self._there: dict[str, Request] = {}
        self._offers: list[Offer] = []
        self._full: list[Request] = []  # for what there is no room until a stage ends
        self._once = Once(_entries)
        self._graph = GRAPH.read_bytes()

    def find(self, stage: str, free: Collection[int]) -> int | str | None:
        """Any, where a machine has room beside all that run, and no other run of the repository is at the same."""
        if stage in self.near:
            if self._here:
                return None
        else:
            request, offers = self.resources.of(stage), self.machines.offers()
            if offers is not self._offers:
                self._offers, self._full = offers, []
            if request in self._full:
                return None
            if not fits([request], offers):
                return f"no machine has {described(request)}"
            if not fits([*self._there.values(), request], offers):
                self._full.append(request)
                return None
        return min(free) if self._once.begins(stage, self.needs[stage]) else once.WORDS

    def begin(self, stage: str, place: int) -> StageWork:
        """Here, or there."""
        if stage in self.near:
            self._here.add(stage)
            return Process(stage, self.environment, travel.bring_about)
        self._there[stage] = request = self.resources.of(stage)
        try:
            entries = dict.fromkeys((stage, *self.needs[stage]))
            entries |= _entries(entries)
            errand = Errand(stage, entries, self.remote, "cuda" if request.gpus else "cpu", self.environment)
            return Sent(stage, self.machines.send(errand, request), self._graph)
        except UserError as error:  # others run, and go on
            return Sent(stage, Refused(str(error)), self._graph)

    def wait(self, running: Sequence[StageWork]) -> None:
        """A moment: what ends elsewhere has taken longer."""
        time.sleep(EVERY)

    def leave(self, work: StageWork) -> None:
        """Its room is free."""
        self._here.discard(work.stage)
        self._there.pop(work.stage, None)
        self._full = []
        self._once.ends(work.stage)


class Sent:
    """A stage that runs on another machine.

    Args:
        graph: What dvc.yaml holds as it is sent.
    """

    def __init__(self, stage: str, handle: Handle, graph: bytes) -> None:
        self.stage = stage
        self.graph = graph
        self.began = time.monotonic()
        self.why = ""
        self._handle = handle
        self._ended: Ended | None = None
        self._status: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the machine has answered, or is lost for good."""
        self._ended = self._ended or self._handle.ended()
        return self._ended is not None

    @property
    def unchanged(self) -> bool:
        """Whether DVC found there that the stage was not due."""
        return self._ended is not None and self._ended.status == UNCHANGED

    def poll(self) -> int | None:
        """0 where the stage is done and recorded, another status where it failed; None before `close`."""
        return self._status

    def stop(self) -> None:
        """Ask the stage to save its state and end."""
        self._handle.stop()

    def newest(self) -> str:
        """Nothing: what is printed comes with the end."""
        return ""

    def close(self) -> str:
        """All output; a stage that is done is recorded in dvc.lock."""
        ended = self._ended
        assert ended
        self._status = ended.status or 0
        if ended.entry is not None and ended.status in (0, UNCHANGED):
            self._status = self._record(ended.entry)
        elif not ended.status:
            self._status = 1
        self.why = self.why or f"{reason(ended.output, ended.status)}{ended.host and f' (on {ended.host})'}"
        return ended.output

    def _record(self, entry: dict[str, Any]) -> int:
        try:
            travel.merge(self.stage, entry, planned=GRAPH.read_bytes() == self.graph)
        except UserError as error:
            self.why = str(error)
            return 1
        return 0


def _entries(stages: Collection[str]) -> dict[str, Any]:
    """What dvc.lock says of stages that have run."""
    return lock.read_stages(Path("dvc.lock"), stages).stages


def fits(requests: Sequence[Request], offers: Sequence[Offer]) -> bool:
    """Whether the machines have room for all of these at once; the largest are placed first, each where it fits."""
    left = [[each.cpus, each.gpus, each.memory] for each in offers]
    for request in sorted(requests, key=lambda each: (each.gpus, each.memory or 0, each.cpus), reverse=True):
        takes = [request.cpus, request.gpus, request.memory or 0]
        for offer, free in zip(offers, left, strict=True):
            labelled = request.label is None or _has(offer, request.label)
            if labelled and all(have >= take for have, take in zip(free, takes, strict=True)):
                free[:] = [have - take for have, take in zip(free, takes, strict=True)]
                break
        else:
            return False
    return True


def described(request: Request) -> str:
    """What a stage takes, in words."""
    parts = [f"{request.cpus:g} CPUs", *([f"{request.gpus} GPUs"] if request.gpus else [])]
    parts += [f"{request.memory:g} GiB"] if request.memory else []
    parts += [f"the label {request.label}"] if request.label else []
    return ", ".join(parts)


def near(stages: Collection[str], resources: Resources) -> set[str]:
    """Those of the stages that read files which only this machine is known to see."""
    return {name for name in stages if not resources.of(name).sees_files and _reads_files(name)}


def _reads_files(stage: str) -> bool:
    path = PLAN / f"{stage.replace('@', '/', 1)}.json"
    return stage == PREPARE or (path.is_file() and _names_file(files.read_sealed(path)))


def _names_file(value: Any) -> bool:
    """Whether a spec names a file by its hash, as of weights or answers that were made elsewhere."""
    if isinstance(value, list):
        return any(map(_names_file, value))
    if not isinstance(value, dict):
        return False
    return {"file", "sha256"} <= value.keys() or any(map(_names_file, value.values()))


def _has(offer: Offer, label: str) -> bool:
    key, _, value = label.partition("=")
    return offer.labels.get(key) == value
