"""Where every node stands: trained, carried, stale, in progress; what it reached and its teacher."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.base.errors import UserError
from pipeline.config import params
from pipeline.dvc import lock
from pipeline.dvc.training_state import state_root
from pipeline.lineage import node
from pipeline.lineage.node import Node
from pipeline.lineage.results import learned_from
from pipeline.planning import graph
from pipeline.planning.build import build
from pipeline.planning.specs.slots import SkipSpec
from pipeline.planning.specs.spec import NodeSpec
from pipeline.planning.specs.training import TrainingSpec, TrainSpec
from pipeline.training.state import State

NEW = "not run yet"


@dataclass(frozen=True)
class Standing:
    """One node of the plan.

    Attributes:
        spec: What it is to be.
        node: What it is; None where it has not run.
        stale: Why its last result no longer holds; None where it does.
        running: How far its training has come, where that was begun and is not over.
    """

    spec: NodeSpec
    node: Node | None
    stale: str | None
    running: str | None

    @property
    def name(self) -> str:
        """Of the node."""
        return self.spec.node

    @property
    def state(self) -> str:
        """In words."""
        if self.node is None:
            return self.running or NEW
        if self.stale:
            return self.running or f"stale: {self.stale}"
        return f"carried ({self.node.source})" if self.node.status == "carried" else self.node.status

    @property
    def reached(self) -> str:
        """On validation: the accuracy in percent, or the metric that decided by its name; empty where there is none."""
        found = dict(self.node.chain).get(self.node.source) if self.node else None
        return "" if self.node is None or found is None else self.node.metric.named(found)

    @property
    def teacher(self) -> str:
        """Whom it learns from."""
        return self.planned_teacher if self.node is None else learned_from(self.node)

    @property
    def planned_teacher(self) -> str:
        """The nodes that the spec names; empty where it names none."""
        return (self.spec.teacher if isinstance(self.spec, TrainingSpec) else None) or ""


def standings() -> list[Standing]:
    """All nodes, in the order of the lineage."""
    specs = build(params.read(Path("params.yaml")), graph.read(Path("dvc.yaml")))
    stale = lock.read(Path("dvc.lock")).stale(specs)
    return [
        Standing(spec, _read(name), stale[name], _progress(name, spec))
        for name, spec in specs.items()
        if isinstance(spec, NodeSpec)
    ]


def lines() -> list[tuple[str, ...]]:
    """Cells of the status table, header first; of what params.yaml does not ask for there is no line."""
    asked = [each for each in standings() if not isinstance(each.spec, SkipSpec)]
    found = [(each.name, each.state, each.reached, each.teacher) for each in asked]
    return [("node", "state", "validation", "learned from"), *found]


def _read(name: str) -> Node | None:
    try:
        return node.read(name)
    except UserError:
        return None


def _progress(name: str, spec: NodeSpec) -> str | None:
    """The epoch of the newest unfinished training state of a node that is to be trained."""
    if not isinstance(spec, TrainSpec):
        return None
    found = [(path.stat().st_mtime, path.parent) for path in (state_root() / name).glob("*/state")]
    if not found:
        return None
    progress = State(max(found)[1]).progress()
    if progress is None or progress["position"]["epoch"] == progress["epochs"]:
        return None
    return f"in progress: epoch {progress['position']['epoch'] + 1} of {progress['epochs']}"
