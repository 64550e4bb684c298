"""A stage that several runs of one repository need at once, as its experiments do a teacher: one runs it, the others
wait, and find its record."""

import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pipeline.base import files, locks
from pipeline.base.paths import PLAN, resolve

FOLDER = ".dvc/tmp/stages"
WORDS = "another run of this repository has just the same at work"


class Once:
    """What this run holds of them, by stage.

    Args:
        entries: What dvc.lock says of some stages.
    """

    def __init__(self, entries: Callable[[Collection[str]], Mapping[str, Any]]) -> None:
        self._entries = entries
        self._folders: dict[str, Path] = {}
        self._held: dict[str, ExitStack] = {}

    def begins(self, stage: str, needs: Collection[str]) -> bool:
        """Whether no other run is at it; until `ends` none begins it. What it needs is done."""
        if stage not in self._folders:
            self._folders[stage] = resolve(FOLDER) / self._key(stage, needs)
        folder = self._folders[stage]
        held = ExitStack()
        if not held.enter_context(locks.alone(folder)):
            held.close()
            return False
        held.callback(shutil.rmtree, folder, ignore_errors=True)  # another may look at it just now
        self._held[stage] = held
        return True

    def _key(self, stage: str, needs: Collection[str]) -> str:
        spec = PLAN / f"{stage.replace('@', '/', 1)}.json"
        others = self._entries([name for name in needs if name != PLAN.name])  # the plan is that of all stages
        reads = {name: each.get("outs") for name, each in others.items()}
        return files.digest([stage, spec.read_text() if spec.is_file() else None, reads])

    def ends(self, stage: str) -> None:
        """Others may begin it."""
        self._held.pop(stage).close()
