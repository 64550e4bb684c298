"""dvc.yaml with the lists that follow from its stages: written between marks, all else as it is."""

import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml import Mark, Node, ScalarNode, SequenceNode

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.config.yaml import parse, read_yaml
from pipeline.planning import graph, wiring
from pipeline.planning.wiring import Listed

BEGIN = "# wire: from here on written by `python -m pipeline wire`"
END = "# end of wire"
PLAIN = re.compile(r"[\w./-]+")  # what YAML takes as it stands


def wire(path: Path, check: bool = False) -> str:
    """Write the lists of a dvc.yaml, or with `check` only look: what changed, or would, as a unified diff.

    Raises:
        UserError: The file is missing, no YAML, lacks a stage, or has a list that is not to be found line by line.
    """
    read_yaml(path)  # tells in one sentence what is wrong with the file
    before = path.read_bytes().decode()
    after = wired(before, path.name)
    if after != before and not check:
        files.write_text(path, after)
    return "\n".join(difflib.unified_diff(before.splitlines(), after.splitlines(), "is", "should be", lineterm="", n=1))


def wired(text: str, name: str = "dvc.yaml") -> str:
    """The text of a dvc.yaml with its lists written anew."""
    whole = graph.complete(parse(text, name), name)
    text = _spread(text, whole)
    lines = text.splitlines(keepends=True)
    newline = "\r\n" if lines[0].endswith("\r\n") else "\n"
    for place in _places(text, whole):
        old = [line.rstrip("\r\n") for line in lines[place.first : place.last]]
        lines[place.first : place.last] = [line + newline for line in _written(old, place)]
    after = "".join(lines)
    _compare(whole, parse(after, name))
    return after


@dataclass(frozen=True)
class Item:
    """One path of a list, and where it stands."""

    path: str
    start: Mark
    end: Mark


@dataclass(frozen=True)
class ListPlace:
    """Where a list stands in the file."""

    listed: Listed
    key: Node
    value: Any

    @property
    def items(self) -> list[Item]:
        """What it holds."""
        if isinstance(self.value, SequenceNode):
            return [Item(each.value, each.start_mark, each.end_mark) for each in self.value.value]
        return [Item(key.value, key.start_mark, each.end_mark) for key, each in self.value.value]

    def line(self, path: str) -> str:
        """A line for a new path; of a plot, with the column of its first curve."""
        path = path if PLAIN.fullmatch(path) else json.dumps(path)
        if isinstance(self.value, SequenceNode):
            return f"- {path}"
        column = self.value.value[0][1]
        of_all = column.value if isinstance(column, ScalarNode) else json.dumps([each.value for each in column.value])
        return f"{path}: {of_all}"

    @property
    def first(self) -> int:
        """The number of its first line."""
        return self.key.end_mark.line + 1

    @property
    def last(self) -> int:
        """The number of the line after it, where the next key begins."""
        return max(self.value.end_mark.line, self.items[-1].end.line + 1)


def _places(text: str, whole: dict[str, Any]) -> list[ListPlace]:
    """Where all lists stand, the last one first, so that a change does not move those that are still to come."""
    top: Any = yaml.compose(text, yaml.SafeLoader)
    found = []
    for listed in wiring.lists(whole):
        key, value = top, top
        for step in listed.keys:
            if value.flow_style:
                raise UserError(f"dvc.yaml: {listed.name} stands in brackets of others: write one item a line there")
            if isinstance(value, SequenceNode):
                value = value.value[step]
            else:
                key, value = next((pair for pair in value.value if pair[0].value == step), (value, top))
        if value.start_mark.index < key.end_mark.index:
            raise UserError(f"dvc.yaml: {listed.name} is an alias or merged in: write the list out there")
        found.append(ListPlace(listed, key, value))
    return sorted(found, key=lambda place: -place.first)


def _spread(text: str, whole: dict[str, Any]) -> str:
    """The same where lists in brackets stand as one line an item."""
    for place in _places(text, whole):
        if not place.value.flow_style:
            continue
        start, end = place.value.start_mark.index, place.value.end_mark.index
        items = [text[item.start.index : item.end.index] for item in place.items]
        rest = text[start:end]
        for item in items:
            rest = rest.replace(item, "", 1)
        if "#" in rest:
            raise UserError(f"dvc.yaml: {place.listed.name} has comments in brackets: write one item a line there")
        dash = "- " if isinstance(place.value, SequenceNode) else ""
        indent = "\n" + " " * (place.key.start_mark.column + 2) + dash
        text = text[:start].rstrip(" ") + "".join(indent + item for item in items) + text[end:]
    return text


def _written(lines: list[str], place: ListPlace) -> list[str]:
    """The lines of one list anew: what the rule covers in one block between marks, the others as they stand."""
    listed = place.listed
    spans = {item.path: range(item.start.line - place.first, item.end.line + 1 - place.first) for item in place.items}
    marks = [number for number, line in enumerate(lines) if line.strip() in (BEGIN, END)]
    ours = {*marks, *(number for path in listed.written for number in spans[path])}
    block = min(ours, default=max(span.stop for span in spans.values()))
    opening = lines[min(span.start for span in spans.values())]
    indent = opening[: len(opening) - len(opening.lstrip())]
    made = [indent + BEGIN]
    for path in listed.expected:
        made += [lines[number] for number in spans[path]] if path in spans else [indent + place.line(path)]
    made.append(indent + END)
    kept = [(number, line) for number, line in enumerate(lines) if number not in ours]
    before, after = ([line for number, line in kept if (number < block) == side] for side in (True, False))
    return [*before, *made, *after]


def _compare(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Refuse what was not found line by line: nothing but what the rules cover may have changed."""
    for old, new in zip(wiring.lists(before), wiring.lists(after), strict=True):
        values = []
        for whole, written in ((before, old.written), (after, new.written)):
            value: Any = whole
            for key in old.keys:
                value = value[key]
            values.append([path for path in value if path not in written])
        if values[0] != values[1] or new.written != new.expected:
            raise UserError(f"dvc.yaml: {old.name} cannot be read line by line: write one item a line there")
