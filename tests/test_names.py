"""A name means one thing: no two classes of the product share one, nor does a type alias with a class."""

import ast
import re
from collections import defaultdict
from pathlib import Path

from pipeline.base.paths import CODE

CAPITALISED = re.compile(r"[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*")


def names(path: Path) -> list[str]:
    """The classes and the type aliases that a file defines at its top; private ones are its own business."""
    found = []
    for each in ast.parse(path.read_text()).body:
        if isinstance(each, ast.ClassDef):
            found.append(each.name)
        elif isinstance(each, ast.Assign):
            found += [target.id for target in each.targets if isinstance(target, ast.Name)]
    return [name for name in found if CAPITALISED.fullmatch(name)]


def test_no_name_stands_for_two_classes() -> None:
    places = defaultdict(list)
    for top in ("pipeline", "stages"):
        for path in sorted((CODE / top).rglob("*.py")):
            for name in names(path):
                places[name].append(path.relative_to(CODE).as_posix())
    assert len(places) > 100
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
