"""A repository with a remote and a few stages that take no time, for tests of where stages run."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.base import files
from pipeline.dvc.travel import Remote
from pipeline.engines.workspace import VARIABLE
from pipeline.planning.specs.machine import MachineSpec
from tests.scratch import COMMIT, CONFIG, Scratch

RUNS = "RUNS"  # the file in which each stage that runs writes its name
NOT_CODE = shutil.ignore_patterns(".git", "plan", "first", "second", "tmp", "cache", "config.local", "dvc.lock")
STAGES = {
    "plan": {"cmd": "mkdir plan && cp given/* plan/", "always_changed": True, "outs": ["plan"]},
    "first": {
        "cmd": 'echo first >> "$RUNS" && cat plan/first.json plan/first.json > first',
        "deps": ["plan/first.json"],
        "outs": ["first"],
    },
    "second": {
        "cmd": 'echo second >> "$RUNS" && mkdir second && cat first plan/second.json plan/machine.json > second/all',
        "deps": ["plan/second.json", "first"],
        "outs": ["second"],
    },
    "slow": {
        "cmd": 'trap \'echo saved >> "$RUNS"; exit 130\' TERM; echo begun >> "$RUNS"; sleep 60 & wait',
        "deps": ["plan/first.json"],
        "outs": ["slow"],
    },
    "wrong": {
        "cmd": "echo 'error: it cannot be' >&2; exit 1",
        "deps": ["plan/first.json"],
        "outs": ["wrong"],
    },
}


@dataclass
class Graph:
    """The driver's repository, in which `plan` has run; `monkeypatch` holds what the environment was."""

    scratch: Scratch
    monkeypatch: pytest.MonkeyPatch

    @property
    def top(self) -> Path:
        return self.scratch.folder.parent

    @property
    def remote(self) -> Remote:
        return Remote("common", str(self.top / "remote"))

    @property
    def code(self) -> Path:
        """What of the repository goes to another machine, anew."""
        folder = self.top / "code"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.scratch.folder, folder, ignore=NOT_CODE)
        return folder

    @property
    def ran(self) -> list[str]:
        """The stages that ran, in their order, on whatever machine."""
        path = Path(os.environ[RUNS])
        return path.read_text().split() if path.exists() else []

    @property
    def lock(self) -> dict[str, Any]:
        return yaml.safe_load((self.scratch.folder / "dvc.lock").read_text())["stages"]

    def give(self, name: str, text: str) -> None:
        """Let the plan give a stage that."""
        (self.scratch.folder / "given" / f"{name}.json").write_text(text)
        self.scratch.run("dvc", "repro", "plan")
        self.scratch.run("dvc", "push", "plan")

    def on(self, machine: str) -> None:
        """Let what runs from now on run on that machine."""
        self.monkeypatch.setenv(VARIABLE, str(self.top / machine))


def create(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    """The graph in a new repository; whoever asks is in it, with the settings that its commands have."""
    graph = Graph(Scratch(folder / "repository"), monkeypatch)
    here = graph.scratch.folder
    (here / ".dvc").mkdir(parents=True)
    (here / "given").mkdir()
    (folder / "remote").mkdir()
    monkeypatch.setenv(RUNS, str(folder / "runs"))
    for name, value in graph.scratch.environment.items():
        monkeypatch.setenv(name, value)
    (here / ".dvc" / "config").write_text(
        f"{CONFIG}    remote = common\n['remote \"common\"']\n    url = ../../remote\n"
    )
    (here / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (here / ".gitignore").write_text("/plan\n/first\n/second\n/slow\n/wrong\n")
    (here / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}, sort_keys=False))
    machine = MachineSpec(device="auto", precision="auto", threads=1, state_every=0.0)
    files.write_sealed(here / "given" / "machine.json", machine.as_json())
    for name in ("first", "second"):
        (here / "given" / f"{name}.json").write_text(name)
    for command in (("git", "init", "--quiet"), ("git", "add", "."), COMMIT):
        graph.scratch.run(*command)
    monkeypatch.chdir(here)
    graph.give("first", "1")
    return graph
