"""Machines that are folders: `python -m tests.engines.fake_machines drive TARGET …` is the driver, with two of them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pipeline.commands.repro_on import repro_on
from pipeline.config.resources import Request
from pipeline.console.errors import run
from pipeline.dvc.address import Remote
from pipeline.dvc.training_state import VARIABLE as STATE
from pipeline.engines import hosts
from pipeline.engines.hosts import Host
from pipeline.engines.machines import Ended, Errand, Offer
from pipeline.engines.template import Template
from pipeline.engines.workspace import VARIABLE
from tests.engines.small_graph import NOT_CODE

OFFERS = {"a": Offer(1, 0, 4, {}), "b": Offer(1, 0, 4, {"sees": "images"})}


@dataclass
class FakeMachines:
    """Two machines of one CPU each; `code` is what each has of the repository."""

    code: Path
    busy: dict[str, "FakeHandle"] = field(default_factory=dict)

    def hosts(self) -> list[Host]:
        return [replace(hosts.this(), name=name) for name in OFFERS]

    def offers(self) -> list[Offer]:
        return [*OFFERS.values()]

    def send(self, errand: Errand, request: Request) -> "FakeHandle":
        label = dict([request.label.split("=")]) if request.label else {}
        free = [name for name in OFFERS if name not in self.busy or self.busy[name].ended()]
        name = next(name for name in free if label.items() <= OFFERS[name].labels.items())
        self.busy[name] = FakeHandle(errand, self.code, [name, *(each for each in free if each != name)])
        return self.busy[name]


class FakeHandle:
    """A process that does the errand, on one of these machines; where it is lost, another, on the next of them."""

    def __init__(self, errand: Errand, code: Path, names: list[str]) -> None:
        self.errand = errand
        self.code = code
        self.names = names
        self.result = Path(tempfile.mkdtemp(prefix="ended.", dir=_top())) / "ended.json"
        self._begin()

    def _begin(self) -> None:
        home = _top() / self.names[0]
        self.names = [*self.names[1:], self.names[0]]
        # Each has a state of its own, as it has a cache; what belongs to the repository is known by the old value.
        own = {VARIABLE: str(home), STATE: str(home / "training-state"), "OF": os.environ.get(STATE, "")}
        errand = replace(self.errand, environment={**self.errand.environment, **own})
        command = [sys.executable, "-m", "tests.engines.fake_machines", "work", str(self.code), str(self.result)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, env={**os.environ, **own}, start_new_session=True
        )
        assert self.process.stdin
        with self.process.stdin as given:
            given.write(json.dumps(asdict(errand)).encode())

    def ended(self) -> Ended | None:
        if self.process.poll() is None:
            return None
        if not self.result.exists():
            self._begin()
            return None
        return Ended(**json.loads(self.result.read_text()))

    def stop(self) -> None:
        self.process.terminate()


@contextmanager
def connected(images: Path) -> Iterator[FakeMachines]:
    code = Path(tempfile.mkdtemp(prefix="code.", dir=_top()), "repository")
    shutil.copytree(Path.cwd(), code, ignore=NOT_CODE)
    yield FakeMachines(code)


def _top() -> Path:
    """The folder of the machines, beside the repository, also from an experiment's folder."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve().parent


def work(code: Path, result: Path) -> None:
    """As on a machine: the driver's end is none of its business, what it has done is put to the remote."""
    given = json.load(sys.stdin)
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    errand = Errand(**{**given, "remote": Remote(**given["remote"])})
    ended = Template(code).execute(errand, lambda: bool(asked))
    aside = result.with_suffix(".tmp")
    aside.write_text(json.dumps(asdict(ended)))
    os.replace(aside, result)


if __name__ == "__main__":
    if sys.argv[1] == "work":
        work(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        run(lambda: sys.exit(repro_on(connected, sys.argv[2:], None)))
