"""The experiments of the current commit, as DVC knows them: parameters, figures, and what each stage read and left."""

import json
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.base import programs
from pipeline.base.errors import UserError
from pipeline.config.yaml import flatten
from pipeline.dvc import cache, lock
from pipeline.dvc.lock import Lock

WORKSPACE = "workspace"
GIT = 60.0  # seconds
DVC = 1800.0  # seconds: it reads every experiment anew


@dataclass(frozen=True)
class Experiment:
    """One run.

    Attributes:
        name: As in `dvc exp list`; a branch or a revision for a commit.
        revision: Of git; `workspace` for the files that lie here.
        state: Of one in the queue: queued, running or failed; None of one that is done.
        parameters: Of params.yaml, keys joined by dots.
        summary: Figures of metrics/summary.json, keys joined by dots.
    """

    name: str
    revision: str
    state: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def lock(self) -> Lock:
        """What each stage read and left; empty where no dvc.lock was committed."""
        if self.revision == WORKSPACE:
            return lock.read(Path("dvc.lock"))
        shown = programs.run(["git", "show", f"{self.revision}:./dvc.lock"], GIT)
        return lock.parse(shown.stdout.encode(), "dvc.lock") if shown.returncode == 0 else Lock({})

    @cached_property
    def numbers(self) -> dict[str, dict[str, Any]]:
        """Metrics of every network that was trained or computed and that the cache holds, by node."""
        if (root := cache.folder()) is None:
            return {}
        outs = self.lock.outs
        names = [path.removeprefix("metrics/").removesuffix(".json") for path in outs if path.startswith("metrics/")]
        found = {}
        for name in names:
            value = cache.read_json(root, outs, f"metrics/{name}.json")
            if isinstance(value, dict) and name in ("refined", "mutual") and "origin" in value:
                value = cache.read_json(root, outs, f"metrics/{value['origin']}.json")
            if isinstance(value, dict) and "test" in value and "accuracy" in value["test"]:
                found[name] = value
        return found


def read() -> list[Experiment]:
    """All that DVC knows of the current commit: the workspace, the commit, its experiments, done and queued.

    Raises:
        UserError: DVC cannot show any.
    """
    run = programs.run([sys.executable, "-m", "dvc", "exp", "show", "--json"], DVC)
    if run.returncode != 0:
        raise UserError(f"`dvc exp show` failed: {run.stderr.strip().splitlines()[-1] if run.stderr else 'no message'}")
    found = []
    for revision in json.loads(run.stdout):
        found.append(_experiment(revision.get("name") or revision["rev"], revision, None))
        for experiment in revision.get("experiments") or []:
            state = (experiment.get("executor") or {}).get("state")
            found += [
                _experiment(experiment.get("name") or each["rev"][:7], each, state) for each in experiment["revs"]
            ]
    return found


def _experiment(name: str, revision: dict[str, Any], state: str | None) -> Experiment:
    data = revision.get("data") or {}
    figures: dict[str, Any] = {}
    for file in (data.get("metrics") or {}).values():
        figures |= file.get("data") or {}
    parameters = ((data.get("params") or {}).get("params.yaml") or {}).get("data") or {}
    done = state is None or state == "success"
    return Experiment(name, revision["rev"], None if done else state, flatten(parameters), flatten(figures))
