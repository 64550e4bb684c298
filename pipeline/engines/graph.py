"""The graph as DVC has it: what each stage needs, and which of them have changed."""

from typing import Any

import networkx
from dvc.exceptions import DvcException
from dvc.repo import Repo, lock_repo
from dvc.repo.reproduce import get_active_graph

from pipeline.base.errors import UserError
from pipeline.config.section import unknown


def read(targets: list[str]) -> dict[str, set[str]]:
    """Of each stage that `dvc repro` would look at for these targets, all without: the stages that it needs.

    Raises:
        UserError: There is no such target, or DVC cannot read the repository.
    """
    try:
        with Repo(_wait_for_lock=True) as repo, lock_repo(repo):
            graph = get_active_graph(repo.index.graph)
            found = set()
            for target in targets or ["dvc.yaml"]:
                for stage in _collect(repo, target, [each.addressing for each in graph]):
                    found |= {stage, *networkx.descendants(graph, stage)}
            return {
                stage.addressing: {each.addressing for each in graph.successors(stage)}
                for stage in graph
                if stage in found
            }
    except DvcException as error:
        reason = " ".join(str(error).split())
        raise UserError(f"DVC cannot read the stages ({reason}): correct that; a dvc.lock can be deleted") from None


def changed() -> set[str]:
    """The stages of which an input, an output or the command is not what dvc.lock records."""
    with Repo(_wait_for_lock=True) as repo:
        return set(repo.status())


def _collect(repo: Repo, target: str, names: list[str]) -> list[Any]:
    try:
        return list(repo.stage.collect(target))
    except DvcException:
        raise UserError(unknown("stage", target, names)) from None
