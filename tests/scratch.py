"""A scratch repository: the code of this one with tiny params, where stages and DVC run as a user runs them."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.dvc.training_state import VARIABLE

ROOT = Path(__file__).parents[1]
# As params.yaml comes with the repository: the one at the top is the user's, who may have changed it.
PARAMS = ROOT / "tests" / "params.yaml"
COPIED = ("pipeline", "stages", "dvc.yaml", ".dvc/plots", ".dvcignore", ".gitignore")
CONFIG = "[core]\n    analytics = false\n    check_update = false\n"
COMMIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "--all", "-m", "x")
RAN = re.compile(r"^Running stage '(.+)':$", re.MULTILINE)
PATIENCE = 60.0
METHODS = ("soft_targets",)
# Beyond what the params below ask for, so that each chain has slots that carry.
LENGTHS = {"assistant": 3, "refinery": 4, "born_again": 4, "compress": 7}
SKIPPED = "dkd"  # a method with a stage, which the params do not name

# As little as shows everything: a baseline that can be killed many times over and is better than the first
# refinery generation, which learns next to nothing, so that the refinery stops.
TINY: dict[str, Any] = {
    "data": {"source": "digits", "per_class": 10},
    "labels": {"views": 3, "kind": "dense", "batch_size": None},
    "machine": {"device": "cpu", "precision": "float32", "threads": 1, "state_every": 0},
    "training": {"epochs": 2, "batch_size": 32},
    "teacher": {"architecture": {"family": "plain", "widths": [6, 8]}, "recipe": {"epochs": 4}},
    "assistant": {"links": 1, "architectures": {"t1": {"family": "plain", "widths": [4, 8]}}},
    "student": {"architecture": {"family": "plain", "widths": [4, 6]}},
    "baseline": {"recipe": {"epochs": 60}},
    "refinery": {"generations": 3, "patience": 1, "min_gain": 0.0, "recipe": {"lr": 1e-6}},
    "born_again": {"generations": 1, "patience": None},
    "mutual": {"peers": 2, "carries": 1},
    "compress": {
        "order": ["distil", "prune", "tune", "quantise", "export"],
        "steps": {
            "distil": {"architecture": {"family": "plain", "widths": [4, 6]}, "recipe": {"epochs": 2}},
            "tune": {"recipe": {"epochs": 2}},
        },
    },
}


@dataclass(frozen=True)
class Scratch:
    """A repository of its own; `state` is where its training state lies, None beside its DVC cache."""

    folder: Path
    state: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Ours, with this Python first, and with no settings of the user or the machine."""
        own = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "COHOBATE_", "GIT_"))}
        aside = str(self.folder.with_name(f"{self.folder.name}.settings"))
        return {
            **own,
            **({VARIABLE: str(self.state)} if self.state else {}),
            **{f"DVC_{name}": aside for name in ("GLOBAL_CONFIG_DIR", "SYSTEM_CONFIG_DIR", "SITE_CACHE_DIR")},
            "DVC_NO_ANALYTICS": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "OMP_NUM_THREADS": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command in the repository, in a process group of its own."""
        pipe, out = subprocess.PIPE, subprocess.STDOUT
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=pipe, stderr=out, text=True, start_new_session=True
        )

    def run(self, *command: str, code: int = 0) -> str:
        """Run a command to its end and expect its exit status; return what it printed."""
        process = self.start(*command)
        said, _ = process.communicate(timeout=900)
        assert process.returncode == code, f"{' '.join(command)} exited with {process.returncode}:\n{said[-2000:]}"
        return said

    def stage(self, *verb: str, code: int = 0) -> str:
        """Run one stage, as DVC does; return what it printed."""
        return self.run(sys.executable, "-m", "stages", *verb, code=code)

    def repro(self, *arguments: str) -> list[str]:
        """`dvc repro`; the stages that ran."""
        return RAN.findall(self.run("dvc", "repro", *arguments))

    def edit(self, changes: dict[str, Any]) -> None:
        """Change params.yaml."""
        path = self.folder / "params.yaml"
        path.write_text(yaml.safe_dump(merged(yaml.safe_load(path.read_text()), changes), sort_keys=False))

    def hashes(self, *nodes: str) -> dict[str, str]:
        """SHA-256 of every file of some nodes, or of all artifacts."""
        top = self.folder / "artifacts"
        paths = [path for node in nodes or ("",) for path in sorted((top / node).rglob("*")) if path.is_file()]
        return {path.relative_to(top).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    def copy(self, folder: Path, state: Path | None = None) -> "Scratch":
        """The same repository elsewhere, with its cache; its training state, too, unless `state` names another."""
        left_out = shutil.ignore_patterns("training-state", "tmp") if state else None
        shutil.copytree(self.folder, folder, symlinks=True, ignore=left_out)
        return Scratch(folder, state)


def bring(folder: Path, root: Path = ROOT) -> None:
    """Copy our code, or that of another checkout, and all that comes with it."""
    without = shutil.ignore_patterns("__pycache__")
    for name in COPIED:
        source, target = root / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target, ignore=without)
        else:
            shutil.copy2(source, target)


def create(folder: Path, root: Path = ROOT) -> Scratch:
    """A git and DVC repository with our code, or that of another checkout, and tiny params; nothing has run in it."""
    bring(folder, root)
    scratch = Scratch(folder)
    (folder / ".dvc" / "config").write_text(CONFIG)
    params = yaml.safe_load((root / PARAMS.relative_to(ROOT)).read_text())
    params["method"] = {name: params["method"][name] for name in METHODS}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    scratch.edit({name: {"recipe": {"epochs": 2}} for name, section in params.items() if "recipe" in (section or {})})
    scratch.edit(TINY)
    scratch.run("git", "init", "--quiet")
    scratch.run("git", "add", ".")
    scratch.run(*COMMIT)
    return scratch


def merged(base: Any, change: Any) -> Any:
    """`change` over `base`, mapping by mapping; an architecture is replaced whole."""
    if not isinstance(base, dict) or not isinstance(change, dict) or "family" in change:
        return change
    return {**base, **{key: merged(base.get(key), value) for key, value in change.items()}}


def wait(what: str, until: Callable[[], bool]) -> None:
    """Wait until something is so; fail where it takes too long."""
    end = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)
