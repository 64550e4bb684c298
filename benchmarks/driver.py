"""What the driver of `repro --on` spends on a stage, in a graph of 1,000 stages and on 100 machines.

The machines are none: each answers after some seconds that its stage is done, with an entry for dvc.lock as DVC would
write it. What is measured is all that the driver does: reading the graph, choosing, sending, waiting and recording.
"""

import hashlib
import io
import os
import pickle
import resource
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measure import Figure
from pipeline.base import files
from pipeline.commands.repro_on import repro_on
from pipeline.config.resources import Request
from pipeline.engines import hosts
from pipeline.engines.hosts import Host
from pipeline.engines.machines import Ended, Errand, Offer
from pipeline.planning.specs.machine import MachineSpec
from tests.scratch import PARAMS

STAGES, WORKERS, CHAIN = 1_000, 100, 2
SECONDS = 5.0  # that a stage takes
OFFERS = [Offer(1, 0, 4, {})] * WORKERS
GOAL = 0.4  # CPU seconds a stage, of driver and machine together


def measure(folder: Path, tiny: bool) -> list[Figure]:
    """CPU seconds of the driver and bytes on the wire, a stage, as the graph grows."""
    sizes = (20,) if tiny else (STAGES // 10, STAGES)
    figures = []
    for count in sizes:
        here = Path.cwd()
        os.chdir(repository(folder / str(count), count))
        try:
            machines = Machines(_entries(count), 0 if tiny else SECONDS)
            first, wall = driven(machines)
            again, _ = driven(Machines({}, 0))
        finally:
            os.chdir(here)
        assert len(machines.sent) == count, f"{len(machines.sent)} of {count} stages were sent"
        there, back = (sum(each) / count for each in zip(*machines.sent.values(), strict=True))
        note = f"{wall / count:.3f} s on the wall; {there:,.0f} bytes to a machine, {back:,.0f} back"
        figures.append(
            Figure(f"{count:,} stages: the driver, a stage", first / count, goal=GOAL, unit="CPU s", note=note)
        )
        figures.append(Figure(f"{count:,} stages: nothing to do, all of it", again, unit="CPU s"))
    return figures


def driven(machines: "Machines") -> tuple[float, float]:
    """CPU seconds of the driver and its processes, and seconds on the wall, for all stages."""

    @contextmanager
    def connect(images: Path) -> Iterator[Machines]:
        yield machines

    began, before = time.monotonic(), _spent()
    with redirect_stdout(io.StringIO()):
        assert repro_on(connect, [], None) == 0
    return _spent() - before, time.monotonic() - began


@dataclass
class Machines:
    """So many, which answer with these entries; `sent`: bytes there and back, by stage."""

    entries: dict[str, dict[str, Any]]
    seconds: float
    sent: dict[str, tuple[int, int]] = field(default_factory=dict)

    def hosts(self) -> list[Host]:
        return [replace(hosts.this(), name=f"h{number}") for number in range(WORKERS)]

    def offers(self) -> list[Offer]:
        return OFFERS

    def send(self, errand: Errand, request: Request) -> "Done":
        ended = Ended(0, "", self.entries[errand.stage], "h0")
        self.sent[errand.stage] = len(pickle.dumps(errand)), len(pickle.dumps(ended))
        return Done(ended, time.monotonic() + self.seconds)


@dataclass(frozen=True)
class Done:
    """An errand that has ended at that moment."""

    result: Ended
    moment: float

    def ended(self) -> Ended | None:
        return self.result if time.monotonic() >= self.moment else None

    def stop(self) -> None:
        pass


def repository(folder: Path, count: int) -> Path:
    """Chains of stages, each of which reads its spec and what the one before it left; none has run."""
    for each in (".dvc", "given"):
        (folder / each).mkdir(parents=True)
    remote = folder.with_name(f"{folder.name}.remote")
    remote.mkdir()
    (folder / ".dvc/config").write_text(
        f"[core]\n    no_scm = true\n    analytics = false\n    remote = common\n"
        f"['remote \"common\"']\n    url = {remote.absolute()}\n"
    )
    machine = MachineSpec(device="cpu", precision="float32", threads=1, state_every=20)
    files.write_sealed(folder / "given/machine.json", machine.as_json())
    plan = {"cmd": "cp -r given plan", "always_changed": True, "outs": ["plan"]}
    stages: dict[str, Any] = {"plan": plan}
    for number in range(count):
        files.write_sealed(folder / f"given/{_name(number)}.json", {"number": number})
        before = [f"artifacts/{_name(number - 1)}"] if number % CHAIN else []
        stages[_name(number)] = {
            "cmd": f"python -m stages train {_name(number)}",
            "deps": [f"plan/{_name(number)}.json", *before],
            "outs": [f"artifacts/{_name(number)}", f"metrics/{_name(number)}.json"],
        }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    shutil.copy(PARAMS, folder / "params.yaml")
    return folder


def _entries(count: int) -> dict[str, dict[str, Any]]:
    """What DVC would record of each stage, had it run."""

    def folder(number: int) -> dict[str, Any]:
        md5 = hashlib.md5(_name(number).encode()).hexdigest()
        return {"path": f"artifacts/{_name(number)}", "hash": "md5", "md5": f"{md5}.dir", "size": 9, "nfiles": 3}

    def file(path: str, content: bytes) -> dict[str, Any]:
        return {"path": path, "hash": "md5", "md5": hashlib.md5(content).hexdigest(), "size": len(content)}

    found = {}
    for number in range(count):
        name = _name(number)
        spec = file(f"plan/{name}.json", Path(f"given/{name}.json").read_bytes())
        deps = [*([folder(number - 1)] if number % CHAIN else []), spec]  # by path
        outs = [folder(number), file(f"metrics/{name}.json", name.encode())]
        found[name] = {"cmd": f"python -m stages train {name}", "deps": deps, "outs": outs}
    return found


def _name(number: int) -> str:
    return f"n{number:04}"


def _spent() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    found = [resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in found)
