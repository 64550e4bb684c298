"""Specs of the release b243eb0, each of whose codes is one hash of all files that it reaches, with their paths.

For `accept` only; to be deleted, with legacy.json, when nobody holds results of that release any more. legacy.json
has, of each of its files, the hash of what it means and the files that it imports, and of each unit of code its file
and the hash that it has today. It is made by `python -m tests.release --legacy`, from git.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.base.files import Json

FILE = Path(__file__).with_name("legacy.json")
REBUILDING = [f"rebuild {name}" for name in ("surgery", "fake_quantise", "codebook", "footprint")]


def translated(spec: Json) -> Json:
    """A spec of any release with its code unit by unit; None for a part that is not by the code of this release."""
    if "settings" in spec and "training" in spec:  # of a step that computes: how images are shown to it
        spec = {"images" if key == "training" else key: value for key, value in spec.items()}
    code = spec["code"] if isinstance(spec["code"], dict) else {"stage": spec["code"]}
    parts = {part: _units(spec, part, each) if isinstance(each, str) else each for part, each in code.items()}
    return {**spec, "code": parts}


def units() -> dict[str, str]:
    """The hash that each unit of that release has today."""
    return {unit: found for unit, (_, found) in _table()["units"].items()}


def _units(spec: Json, part: str, combined: str) -> dict[str, str] | None:
    """The units that a combined hash is made of, with the hashes that they have today."""
    known = _table()["units"]
    for units in _guesses(spec, part):
        if all(unit in known for unit in units) and _combined(known[unit][0] for unit in units) == combined:
            return {unit: known[unit][1] for unit in units}
    return None


def _guesses(spec: Json, part: str) -> Iterator[list[str]]:
    """The units that the planner of the release may have put into a hash; of some networks a spec names no family."""
    verb, action = spec["node"].split("/")[0], spec.get("action")
    if action is None:
        yield [f"stage {verb}"]
    elif action in ("carry", "skip"):
        yield ["node"]
    else:
        training = spec.get("training", {})
        units = ["loop" if part == "training" else f"stage {verb}"]
        units += [f"objective {term}" for term in training.get("objective", ())]
        if action == "compress":
            units += [f"step {spec['kind']}", *REBUILDING]
        networks = [each["architecture"] for each in training.get("members", [training]) if each.get("architecture")]
        if networks:
            yield units + [unit for each in networks for unit in _model(each)]
        else:
            for unit in _table()["units"]:
                if unit.startswith("model "):
                    yield [*units, unit]
                    yield [*units, unit, "budget"]


def _model(architecture: dict[str, Any]) -> list[str]:
    return [f"model {architecture['family']}", *(["budget"] if "budget" in architecture else [])]


def _combined(paths: Iterable[str]) -> str:
    """The hash that the release gave a set of files and all that they import."""
    files = _table()["files"]
    found: set[str] = set()
    waiting = list(paths)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(files[path][1])
    lines = [f"{path} {files[path][0]}\n" for path in sorted(found)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@cache
def _table() -> dict[str, Any]:
    return json.loads(FILE.read_text())
