"""The lineage as a graph of rails, one row a network: who taught whom, what it reached, what carries what."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from markupsafe import Markup

from pipeline.lineage.results import in_runs, learned_from
from pipeline.report.run import Entry, Reported
from pipeline.report.section import PageSection
from pipeline.report.svg import around, dot, rect, tag
from pipeline.report.words import amount, counted, listed

ROW = 38  # pixels; the style sheet has the same
LANE = 16  # narrower where there are many, so that a phone has room for the names beside them
LANES = 96


@dataclass(frozen=True)
class GraphRow:
    """One line of the graph.

    Attributes:
        name: The node, or the slots that carry it (`g4 … g8`).
        family: Decides its colour.
        kind: trained, imported, computed, picked (a reader's choice of another node) or carried.
        origin: What it was made from, in words.
        size: Its parameters, in words.
        teachers: The rows that it hangs on, by name.
        validation, test: Accuracies, where it gives answers.
    """

    name: str
    family: str
    kind: str
    origin: str
    size: str = ""
    teachers: tuple[str, ...] = ()
    validation: float | None = None
    test: float | None = None


@dataclass
class Rails:
    """Where each row's node lies, and the lines between rows: (lane, row) to (lane, row), family, dashed."""

    lanes: list[int] = field(default_factory=list)
    edges: list[tuple[tuple[int, int], tuple[int, int], str, bool]] = field(default_factory=list)

    @property
    def width(self) -> int:
        """Lanes side by side."""
        return max(self.lanes, default=0) + 1

    @property
    def step(self) -> int:
        """Pixels from lane to lane."""
        return max(6, min(LANE, LANES // self.width))

    def at(self, lane: int, row: int) -> tuple[int, int]:
        """Where a lane crosses a row."""
        return lane * self.step + 12, row * ROW + ROW // 2


def rows(run: Reported) -> list[GraphRow]:
    """One row a network, and one a run of slots that carry the same one."""
    found: list[GraphRow] = []
    for entry in run.entries.values():
        row = _row(entry, run)
        if row.kind == "carried" and found and found[-1].kind == "carried" and found[-1].teachers == row.teachers:
            first = found[-1].name.split(" … ")[0]
            found[-1] = replace(found[-1], name=f"{first} … {row.name.split('/')[-1]}")
        else:
            found.append(row)
    return found


def _row(entry: Entry, run: Reported) -> GraphRow:
    node = entry.node
    if entry.own:
        kind = node.status if node.status != "carried" else "trained"  # it carries one of its own members
        teachers = [name for name in entry.taught_by if name in run.entries]
        origin = learned_from(node)
        origin = f"from {origin}" if kind == "trained" and teachers else origin
        if "step" in entry.metrics:
            origin = f"{entry.metrics['step']}, on {listed(teachers)}"
        size = f"{amount(entry.metrics['parameters'])} parameters" if "parameters" in entry.metrics else ""
        return GraphRow(entry.name, entry.family, kind, origin, size, tuple(teachers), entry.validation, entry.test)
    kind = "carried" if "/" in entry.name else "picked"
    origin = f"carry {node.source}" if kind == "carried" else f"is {node.source}"
    accuracies = (None, None) if kind == "carried" else (entry.validation, entry.test)
    return GraphRow(entry.name, entry.family, kind, origin, "", (node.source,), *accuracies)


def rails(table: Sequence[GraphRow]) -> Rails:
    """Lay the rows on lanes: a rail goes down from a node to its last learner, which takes its lane over."""
    at = {row.name: i for i, row in enumerate(table)}
    last = {name: i for i, row in enumerate(table) for name in row.teachers}
    busy: dict[int, int] = {}  # lane -> the row up to which it is taken
    found = Rails()
    for i, row in enumerate(table):
        teachers = [at[name] for name in row.teachers if name in at]
        ending = [found.lanes[t] for t in teachers if last[table[t].name] == i]
        free = (lane for lane in range(len(table) + 1) if busy.get(lane, -1) < i)
        lane = min(ending) if ending else next(free)
        found.lanes.append(lane)
        busy[lane] = max(i, last.get(row.name, i))
        for t in teachers:
            dashed = row.kind in ("carried", "picked")
            found.edges.append(((found.lanes[t], t), (lane, i), table[t].family, dashed))
    return found


def drawn(table: Sequence[GraphRow], graph: Rails) -> Markup:
    """The rails beside the table; the table has the same in words, so this is hidden from screen readers."""
    parts = []
    for (lane1, row1), (lane2, row2), family, dashed in graph.edges:
        x1, y1 = graph.at(lane1, row1)
        x2, y2 = graph.at(lane2, row2)
        bend = min(ROW, y2 - y1)
        d = f"M{x1} {y1} V{y2 - bend} C{x1} {y2 - bend * 0.3:.0f} {x2} {y2 - bend * 0.7:.0f} {x2} {y2}"
        parts.append(tag("path", d=d, class_=f"rail f-{family}{' dashed' if dashed else ''}"))
    for i, row in enumerate(table):
        x, y = graph.at(graph.lanes[i], i)
        class_ = f"stop f-{row.family} {row.kind}"
        if row.kind == "computed":
            parts.append(rect(x - 5, y - 5, 10, 10, class_, transform=f"rotate(45 {x} {y})"))
        else:
            parts.append(dot(x, y, 4 if row.kind == "carried" else 6, class_))
    width, height = graph.width * graph.step + 12, len(table) * ROW
    return tag("svg", *parts, width=width, height=height, viewBox=f"0 0 {width} {height}", aria_hidden="true")


def section(run: Reported) -> PageSection:
    """The lineage."""
    table = rows(run)
    graph = rails(table)
    low, high = around([row.test for row in table if row.test is not None], 0.02, 0, 1)
    base = run.find("baseline")
    trained = sum(row.kind == "trained" for row in table)
    carried = sum(not entry.own and "/" in entry.name for entry in run.entries.values())
    lead = f"{counted(trained, 'network')} trained, each below its teachers."
    if carried:
        lead += f" {counted(carried, 'slot')} of the chains carry the network before them, at no cost."
    return PageSection(
        "lineage",
        "The lineage",
        lead,
        {
            "rows": table,
            "rails": drawn(table, graph),
            "low": low,
            "high": high,
            "base": base.test if base else None,
            "skipped": _absent(run),
            "kinds": {row.kind for row in table},
        },
    )


def _absent(run: Reported) -> str:
    """What of the graph is not here, and why; a family of which nothing is here by its name alone."""
    there = {entry.family for entry in run.entries.values()}
    off = dict.fromkeys(
        name.removeprefix("method/") if (family := name.partition("/")[0]) in there else family for name in run.skipped
    )
    sentences = [f"Not in params.yaml, so skipped: {listed([*off])}."] if off else []
    if run.missing:
        sentences.append(f"Not made yet: {listed([*in_runs(run.missing)])}.")
    return " ".join(sentences)
