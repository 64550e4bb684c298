"""The lineage as a tree in the terminal: who taught whom, what each reached, what only stands for another."""

from collections.abc import Sequence

from rich.text import Text
from rich.tree import Tree

from pipeline.commands.status import NEW, Standing
from pipeline.console.text import visible
from pipeline.lineage.results import in_runs
from pipeline.planning.specs.slots import CarrySpec, SkipSpec
from pipeline.planning.specs.training import NetworkSpec

ROOT = "hard labels"
LEGEND = "  (validation accuracy in percent, or what is named; = slots that carry the network)"
PEERS = "members/"


def tree(found: Sequence[Standing]) -> Tree:
    """A branch a network, below the one that taught it first; a slot that carries another is named beside that one."""
    sources = {each.name: each.node.source if each.node else each.name for each in found}
    carriers = _carriers(found)
    root = Tree(Text.assemble((ROOT, "bold"), (LEGEND, "dim")), guide_style="dim")
    branches: dict[str, Tree] = {}
    waiting = [each for each in found if not _stands_for_another(each)]
    while waiting:
        ready = [each for each in waiting if (on := _parent(each, sources)) not in sources or on in branches]
        # What is left reads a node that carries, or that is not there: it hangs on the root.
        for each in ready or waiting[:1]:
            parent = _parent(each, sources)
            label = _label(each, parent, carriers.get(each.name, []))
            branches[each.name] = branches.get(parent, root).add(label)
            waiting.remove(each)
    return root


def lines(found: Sequence[Standing]) -> list[tuple[str, ...]]:
    """The same as cells, a line a network, header first; below: the one that it hangs on."""
    sources = {each.name: each.node.source if each.node else each.name for each in found}
    carriers = _carriers(found)
    cells: list[tuple[str, ...]] = [("node", "below", "state", "reached", "carried by")]
    for each in found:
        if not _stands_for_another(each):
            below = _parent(each, sources)
            names = ", ".join(carriers.get(each.name, []))
            cells.append((each.name, below if below in sources else "", each.state, each.reached, names))
    return cells


def _stands_for_another(each: Standing) -> bool:
    """Whether a node is, or is to be, a pointer, or was switched off."""
    if each.node is None or isinstance(each.spec, CarrySpec | SkipSpec):
        return isinstance(each.spec, CarrySpec | SkipSpec)
    own = (each.node.origin or "").startswith(f"{each.name}/{PEERS}")
    return not each.stale and not own and each.node.status in ("carried", "skipped")


def _parent(each: Standing, sources: dict[str, str]) -> str:
    """The node that it hangs on: of a chain the one before, else the first that taught it, of members the last."""
    if isinstance(each.spec, NetworkSpec | CarrySpec) and (previous := each.spec.previous):
        return sources.get(previous, previous)
    if each.node is None:
        return each.planned_teacher
    taught = [item["teacher"] for item in each.node.lineage]
    return taught[-1 if each.node.status == "computed" else 0] if taught else ""


def _carriers(found: Sequence[Standing]) -> dict[str, list[str]]:
    """Who stands for each node, in few words: neighbouring slots as `g4..g8`."""
    carriers: dict[str, list[str]] = {}
    for each in found:
        if each.node is not None and each.node.status == "carried" and _stands_for_another(each):
            carriers.setdefault(each.node.source, []).append(each.name)
    return {origin: list(in_runs(names)) for origin, names in carriers.items()}


def _label(each: Standing, parent: str, carriers: Sequence[str]) -> Text:
    name, standing = visible(each.name), visible(each.state)
    colour = (
        "cyan" if each.running else "yellow" if each.stale and each.node else "dim" if each.node is None else "green"
    )
    text = Text.assemble((name, "bold" if each.node else "dim"))
    if each.reached:
        text.append(f"  {each.reached}", colour)
    if each.state not in ("trained", NEW) and not each.state.startswith("carried"):
        text.append(f"  {standing}", colour)
    if each.node is None and not each.running:
        text.append(f"  {NEW}", "dim")
    if each.node is not None:
        computed = each.node.status == "computed"
        others = [item["teacher"] for item in each.node.lineage if computed or item["teacher"] != parent]
        if others not in ([], [parent]):
            text.append(f"  {'of' if computed else 'taught by'} {visible(', '.join(others))}", "dim")
    if carriers:
        text.append(f"  = {visible(', '.join(carriers))}", "dim")
    return text
