"""Parts of params.yaml that may be off, and what stands elsewhere because of that.

A part whose section is null, or is not there, is off: its nodes are skipped. What takes something from a part that is
off says so, with the keys of both. A chain's start stands in `edges`, where dvc.yaml finds it whether the chain is on
or not.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.config.compress import makes

# Where dvc.yaml reads where a chain starts, and the key of the section that has the same.
EDGES = {
    "refinery": ("refinery", "from"),
    "born_again": ("born_again", "from"),
    "compress": ("compress", "from"),
    "compress_teacher": ("compress", "teacher"),
}
# Whose section switches a node off whose name is not that of a section.
PARTS = {"refined": "refinery", "ensemble": "born_again"}


def part_of(node: str) -> str:
    """The section of params.yaml that a node is of."""
    family = node.partition("/")[0]
    return PARTS.get(family, family)


def with_edges(raw: Mapping[str, Any]) -> dict[str, Any]:
    """params.yaml with the starts of `edges` in the sections of the chains."""
    whole = {"edges": {}, **raw}
    edges = whole["edges"]
    for edge, (section, key) in EDGES.items():
        if isinstance(whole.get(section), dict) and isinstance(edges, dict) and edge in edges:
            whole[section] = {key: edges[edge], **whole[section]}
    return whole


def edges_given_twice(raw: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each start that a section gives otherwise than `edges`: dvc.yaml reads the latter alone."""
    edges = raw.get("edges")
    for edge, (section, key) in EDGES.items():
        own = raw[section].get(key) if isinstance(raw.get(section), dict) else None
        if own is not None and isinstance(edges, dict) and edges.get(edge, own) != own:
            yield (
                f"{section}.{key} is {own!r}, but edges.{edge}, which dvc.yaml reads, is {edges[edge]!r}: leave "
                f"{section}.{key} out, and let edges.{edge} say it"
            )


def asked_steps(whole: Mapping[str, Any]) -> Any:
    """The steps of compression; without a student to take after, those that are in the order alone."""
    compress = whole["compress"]
    steps, order = compress.get("steps"), compress.get("order")
    if whole.get("student") is not None or not isinstance(steps, dict):
        return steps
    return {name: step for name, step in steps.items() if isinstance(order, list | tuple) and name in order}


def without_student(whole: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each section that takes what it does not give itself from a student that is off.

    whole: as filled in, so that what is missing is what no one gives.
    """
    if whole.get("student") is not None:
        return
    takers = [(name, whole.get(name), f"set {name} to null, too") for name in ("baseline", "direct")]
    methods, compress = whole.get("method"), whole.get("compress")
    for name, each in methods.items() if isinstance(methods, dict) else ():
        takers.append((f"method.{name}", each, f"leave method.{name} out"))
    steps = compress.get("steps") if isinstance(compress, dict) else None
    for name, each in steps.items() if isinstance(steps, dict) else ():
        takers.append((f"compress.steps.{name}", each, f"leave {name} out of compress.order"))
    for path, section, remedy in takers:
        # A step that trains has a recipe by now, and one that tunes keeps the architecture of the node before.
        if not isinstance(section, dict) or "recipe" not in section:
            continue
        wanted = ("objective",) if _tunes(path, section) else ("architecture", "objective")
        for key in wanted:
            if section.get(key) is None:
                yield (
                    f"{path}.{key} is not given, and student, which it would be taken from, is null: give it, or "
                    f"{remedy}"
                )


def _tunes(path: str, section: Mapping[str, Any]) -> bool:
    name = path.rpartition(".")[2]
    return path.startswith("compress.") and makes(section.get("kind", name)) == "tuned"
