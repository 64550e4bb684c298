"""Names of classes, in the order of a network's last layer, as lists and files of many tools hold them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.base.errors import UserError


def read_names(path: Path) -> tuple[str, ...]:
    """The names that a text file has, one a line, or a JSON file, as of `names_of`.

    Raises:
        UserError: There is no such file, or it holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = names_of(json.loads(text)) if path.suffix == ".json" else _lines(text)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"the names of classes cannot be read from {path} ({error})") from None
    if not found:
        raise UserError(f"{path} holds no names of classes: give one a line, or a JSON list")
    return found


def names_of(value: Any) -> tuple[str, ...] | None:
    """The names that a value stands for: a list of them, their numbers by name, or they by number; else None."""
    if isinstance(value, Mapping) and value and all(type(each) is int for each in value.values()):
        value = {number: name for name, number in value.items()}
    if isinstance(value, Mapping):
        numbered = {int(key): name for key, name in value.items() if str(key).isdecimal()}
        value = [numbered.get(number) for number in range(len(value))]
    if isinstance(value, list | tuple) and value and all(isinstance(each, str) for each in value):
        return tuple(value)
    return None


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())
