"""Where every node stands: trained, carried, stale, in progress; its accuracy and its teacher."""

from pathlib import Path

from pipeline import graph, lock, node, params, plan
from pipeline.errors import UserError
from pipeline.summary import learned_from
from pipeline.training.state import State, state_root

WITHOUT_NODE = ("prepare", "summary", "report", "machine")


def lines() -> list[tuple[str, ...]]:
    """Cells of the status table, header first."""
    specs = plan.build(params.read(Path("params.yaml")), graph.read(Path("dvc.yaml")))
    stale = lock.read(Path("dvc.lock")).stale(specs)
    cells = [("node", "state", "validation", "learned from")]
    for name, spec in specs.items():
        if name in WITHOUT_NODE:
            continue
        running = _progress(name, spec)
        try:
            each = node.read(name)
        except UserError:
            cells.append((name, running or "not run yet", "", str(spec.get("teacher") or "")))
            continue
        accuracy = dict(each.chain).get(each.source)
        state = f"{each.status} ({each.source})" if each.status == "carried" else each.status
        if stale[name]:
            state = running or f"stale: {stale[name]}"
        cells.append((name, state, "" if accuracy is None else f"{100 * accuracy:.1f}", learned_from(each)))
    return cells


def _progress(name: str, spec: plan.Spec) -> str | None:
    """The epoch of the newest unfinished training state of a node that is to be trained."""
    if spec.get("action") != "train":
        return None
    found = [(path.stat().st_mtime, path.parent) for path in (state_root() / name).glob("*/state")]
    if not found:
        return None
    progress = State(max(found)[1]).progress()
    if progress is None or progress["position"]["epoch"] == progress["epochs"]:
        return None
    return f"in progress: epoch {progress['position']['epoch'] + 1} of {progress['epochs']}"
