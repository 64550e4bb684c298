"""After another release is installed: new stages come into a folder's dvc.yaml, and what else differs is said.

What the user wrote stays: slots that were added, lists in another order, own comments.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from yaml import MappingNode

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.shipped import shipped
from pipeline.commands.accept import LOCK, accept
from pipeline.commands.wire import wired
from pipeline.config.yaml import parse, read_yaml

DVC, PARAMS = Path("dvc.yaml"), Path("params.yaml")
FREE = ("method",)  # sections of params.yaml whose keys are the user's choice


def upgrade(*, dry: bool) -> Iterator[str]:
    """Bring the folder that we are in up to this release; yields lines for a person.

    dry: only say what would be done.

    Raises:
        UserError: A file is missing or no YAML, a stage is not to be found line by line, or as of `accept`.
    """
    theirs, text = (shipped() / DVC).read_text(), _text(DVC)
    ours = parse(text, DVC.name)
    missing = [name for name in parse(theirs, DVC.name)["stages"] if name not in _stages(ours)]
    after = wired(with_stages(text, theirs, missing))
    if after == text:
        yield "dvc.yaml: has every stage of this release, no change"
    else:
        if not dry:
            files.write_text(DVC, after)
        yield from difflib.unified_diff(text.splitlines(), after.splitlines(), "was", "is", lineterm="", n=1)
    yield from _changed_stages(parse(after, DVC.name), parse(theirs, DVC.name))
    for key, value in _lacking(read_yaml(PARAMS), read_yaml(shipped() / PARAMS)):
        yield f"params.yaml: lacks {key}, which this release has as {json.dumps(value)}"
    if LOCK.exists():
        yield from accept(dry=dry).lines()


def with_stages(text: str, theirs: str, names: list[str]) -> str:
    """A dvc.yaml with those stages of another, each behind the one that it follows there."""
    lines, given = text.splitlines(keepends=True), theirs.splitlines(keepends=True)
    order = [*_blocks(theirs)]
    for name in names:
        start, end = _blocks(theirs)[name]
        block = given[start:end]
        own = _blocks("".join(lines))
        before = next((each for each in reversed(order[: order.index(name)]) if each in own), None)
        at = own[before][1] if before else min(first for first, _ in own.values())
        if lines[at - 1].strip():
            block = ["\n", *block]
        if not block[-1].strip() and at == len(lines):
            block.pop()
        lines[at:at] = block if block[-1].endswith("\n") else [*block, "\n"]
    return "".join(lines)


def _blocks(text: str) -> dict[str, tuple[int, int]]:
    """The first line of each stage, with the comments above it, and the line behind it."""
    top = yaml.compose(text, yaml.SafeLoader)
    found = {key.value: (key, value) for key, value in top.value} if isinstance(top, MappingNode) else {}
    key, stages = found.get("stages", (None, None))
    if key is None or not isinstance(stages, MappingNode) or stages.flow_style or not stages.value:
        raise UserError("dvc.yaml: stages stand in brackets, or there are none: write each in lines of its own")
    lines = text.splitlines()
    starts = {name.value: _with_comments(lines, name.start_mark.line) for name, _ in stages.value}
    end = next((at for at in range(max(starts.values()) + 1, len(lines)) if _begins_another(lines[at])), len(lines))
    ends = [*[*starts.values()][1:], end]
    return {name: (start, behind) for (name, start), behind in zip(starts.items(), ends, strict=True)}


def _begins_another(line: str) -> bool:
    """Whether a top-level key, or a comment above one, begins there."""
    return bool(line.strip()) and not line.startswith(" ")


def _with_comments(lines: list[str], at: int) -> int:
    while at and lines[at - 1].strip().startswith("#") and lines[at - 1].startswith(" "):
        at -= 1
    return at


def _changed_stages(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    """What the release has otherwise in stages of both; not slots, nor what `wire` writes."""
    for name, stage in theirs["stages"].items():
        mine, given = ours["stages"][name], stage
        if "do" in stage and isinstance(mine, Mapping):
            mine, given = mine.get("do"), stage["do"]
        if not isinstance(mine, Mapping):
            continue
        for key in ("cmd", "deps", "outs"):
            if (key != "deps" or "do" in stage) and mine.get(key) != given.get(key):
                yield f"dvc.yaml: stages.{name}.{key} is not this release's, {given.get(key)}: yours stays"


def _lacking(ours: Any, theirs: Any) -> Iterator[tuple[str, Any]]:
    """Keys of the release's params.yaml, two deep, that ours lacks, with their values."""
    for key, value in theirs.items():
        if key not in ours:
            yield key, value
        elif isinstance(value, Mapping) and isinstance(ours[key], Mapping) and key not in FREE:
            yield from ((f"{key}.{inner}", each) for inner, each in value.items() if inner not in ours[key])


def _stages(whole: Any) -> Mapping[str, Any]:
    stages = whole.get("stages") if isinstance(whole, Mapping) else None
    return stages if isinstance(stages, Mapping) else {}


def _text(path: Path) -> str:
    read_yaml(path)  # tells in one sentence what is wrong with the file
    return path.read_bytes().decode()
