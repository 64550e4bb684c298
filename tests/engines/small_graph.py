"""A repository with a remote and a few stages that take no time, for tests of where stages run."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.base import files
from pipeline.dvc.address import Remote
from pipeline.engines.workspace import VARIABLE
from pipeline.planning.specs.machine import MachineSpec
from tests.scratch import COMMIT, CONFIG, PARAMS, ROOT, Scratch

RUNS = "RUNS"  # the file in which each stage that runs writes its name and its machine
OUTSIDE = "OUTSIDE"  # a file that only the driver's machine is to read
NAMES = ("prepare", "first", "second", "third", "last", "slow", "wrong")
NOT_CODE = shutil.ignore_patterns(
    ".git", "plan", "artifacts", "metrics", "curves", *NAMES, "tmp", "cache", "config.local", "dvc.lock"
)
HALT = "trap 'echo saved >> \"$RUNS\"; exit 130' TERM; sleep 60 & wait"


def _stage(name: str, command: str, *needs: str) -> dict[str, Any]:
    here = f'echo "{name} $(basename "${VARIABLE}")" >> "$RUNS"'
    return {"cmd": f"{here}; {command}", "deps": [f"plan/{name}.json", *needs], "outs": [name]}


STAGES = {
    "plan": {"cmd": "mkdir plan && cp given/* plan/", "always_changed": True, "outs": ["plan"]},
    "prepare": _stage("prepare", 'cat plan/prepare.json "$OUTSIDE" > prepare'),
    "first": _stage("first", "cat plan/first.json prepare > first", "prepare"),
    "second": _stage("second", "mkdir second && cat first plan/second.json plan/machine.json > second/all", "first"),
    "third": _stage("third", "cat plan/third.json first > third", "first"),
    "last": _stage("last", "cat third plan/last.json > last; ls second >> last", "second", "third"),
    "slow": _stage("slow", HALT),
    "wrong": _stage("wrong", "echo 'error: it cannot be' >&2; exit 1", "first"),
}


@dataclass
class Graph:
    """The driver's repository, in which nothing has run; `monkeypatch` holds what the environment was."""

    scratch: Scratch
    monkeypatch: pytest.MonkeyPatch

    @property
    def folder(self) -> Path:
        return self.scratch.folder

    @property
    def top(self) -> Path:
        return self.folder.parent

    @property
    def remote(self) -> Remote:
        return Remote("common", str(self.top / "remote"))

    @property
    def code(self) -> Path:
        """What of the repository goes to another machine, anew."""
        folder = self.top / "code"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder, folder, ignore=NOT_CODE)
        return folder

    @property
    def ran(self) -> list[tuple[str, str]]:
        """The stages that ran, in their order, and on which machine; the driver's has no name."""
        path = Path(os.environ[RUNS])
        lines = path.read_text().splitlines() if path.exists() else []
        return [(name, machine) for name, _, machine in (line.partition(" ") for line in lines)]

    @property
    def names(self) -> list[str]:
        """Of those, the names alone."""
        return [name for name, _ in self.ran]

    @property
    def lock(self) -> dict[str, Any]:
        return yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]

    def give(self, name: str, value: Any) -> None:
        """Let the plan give a stage that."""
        files.write_sealed(self.folder / "given" / f"{name}.json", {"value": value})

    def share(self, *stages: str) -> None:
        """Run stages here, and put them to the remote."""
        self.scratch.run("dvc", "repro", *stages)
        self.scratch.run("dvc", "push", *stages)

    def on(self, machine: str) -> None:
        """Let what runs from now on run on that machine."""
        self.monkeypatch.setenv(VARIABLE, str(self.top / machine))

    def entries(self, *stages: str) -> dict[str, Any]:
        lock = self.lock
        return {name: lock[name] for name in stages}


def create(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    """The graph in a new repository; whoever asks is in it, with the settings that its commands have."""
    graph = Graph(Scratch(folder / "repository"), monkeypatch)
    here = graph.folder
    (here / ".dvc").mkdir(parents=True)
    (here / "given").mkdir()
    (folder / "remote").mkdir()
    (folder / "outside").write_text("images\n")
    for name, value in {
        **graph.scratch.environment,
        RUNS: str(folder / "runs"),
        OUTSIDE: str(folder / "outside"),
        "PYTHONPATH": str(ROOT),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(VARIABLE, raising=False)
    (here / ".dvc" / "config").write_text(
        f"{CONFIG}    remote = common\n['remote \"common\"']\n    url = ../../remote\n"
    )
    (here / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (here / ".gitignore").write_text("".join(f"/{name}\n" for name in ("plan", *NAMES)))
    (here / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}, sort_keys=False))
    shutil.copy(PARAMS, here / "params.yaml")
    machine = MachineSpec(device="auto", precision="auto", threads=1, state_every=0.0)
    files.write_sealed(here / "given" / "machine.json", machine.as_json())
    for name in NAMES:
        graph.give(name, 1)
    for command in (("git", "init", "--quiet"), ("git", "add", "."), COMMIT):
        graph.scratch.run(*command)
    monkeypatch.chdir(here)
    return graph


def contents(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """The text of every file of some outputs."""
    found = [path for name in names for path in sorted([folder / name, *(folder / name).rglob("*")])]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found if path.is_file()}
