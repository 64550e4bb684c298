"""A spec: what a stage is to do. `plan` writes it as one sealed JSON file, and the stage reads that.

A kind of stage is a frozen dataclass, and each of its fields is a key of the file; a field that is None by default is
left out where it is None. Sections of params.yaml (a recipe, views) stay mappings, as no spec may import pydantic: a
slot that only carries would take twice as long.
"""

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import PLAN

Code = dict[str, dict[str, str]]  # fingerprints of units, of those that decide weights apart
SectionValues = dict[str, Any]  # of params.yaml, complete: all defaults are filled in


class Settings:
    """A part of a spec, or the whole of it: a base of dataclasses, itself none, as to make one takes a millisecond."""

    def as_json(self) -> dict[str, Any]:
        """The value that the file holds."""
        found = {field.name: (field.default, getattr(self, field.name)) for field in _fields(type(self))}
        return {key: _plain(value) for key, (default, value) in found.items() if not (value is default is None)}


class Spec(Settings):
    """The whole spec of one stage."""


@dataclass(frozen=True, kw_only=True)
class NodeSpec(Spec):
    """Of a stage that leaves a network of the lineage: summary, report, status and tree show these and no others."""

    node: str


SpecKind = TypeVar("SpecKind", bound=Spec)
Part = TypeVar("Part", bound=Settings)


def read_spec(name: str, *kinds: type[SpecKind]) -> SpecKind:
    """The spec of node `name`, or of `prepare`, `summary`, `report`, `machine`: one of these kinds.

    Raises:
        UserError: The chain has no such slot, or the spec is missing, damaged, or of another kind.
    """
    path, value = _load(name)
    return _as_one_of(_of_action(kinds, value.get("action")) or kinds, value, name, path)


def read_spec_if(name: str, *kinds: type[SpecKind]) -> SpecKind | None:
    """As `read_spec`; None where the stage does something else than these kinds do."""
    path, value = _load(name)
    found = _of_action(kinds, value.get("action"))
    return _as_one_of(found, value, name, path) if found else None


def write_specs(specs: Mapping[str, Spec], folder: Path) -> None:
    """Write one sealed JSON file a spec."""
    with files.replacing(folder) as temporary:
        temporary.mkdir()
        for name, spec in specs.items():
            files.write_sealed(temporary / f"{name}.json", spec.as_json())


def parse(kind: type[Part], value: Any, within: str = "") -> Part:
    """What `as_json` made a value of; `within` is that value's own key, where it has one.

    Raises:
        ValueError: It is the value of another kind; the first key that does not fit is named.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{within or 'it'} is {value!r}, not a mapping")
    hints = _hints(kind)
    if unknown := sorted(value.keys() - hints.keys()):
        raise ValueError(f"unknown key {_key(within, unknown[0])}")
    found = {}
    for field in _fields(kind):
        if field.name in value:
            found[field.name] = _parsed(hints[field.name], value[field.name], _key(within, field.name))
        elif field.default is MISSING or field.default is not None:
            raise ValueError(f"{_key(within, field.name)} is missing")
    return kind(**found)


def _load(name: str) -> tuple[Path, dict[str, Any]]:
    family, _, slot = name.partition("/")
    slots = {path.stem for path in (PLAN / family).glob("*.json")}
    if "/" in name and slots and slot not in slots:
        raise UserError(f"{family} has no slot {slot!r}: dvc.yaml gives it {', '.join(sorted(slots))}")
    path = PLAN / f"{name}.json"
    return path, files.read_sealed(path)


def _as_one_of(kinds: tuple[type[SpecKind], ...], value: dict[str, Any], name: str, path: Path) -> SpecKind:
    faults = [f"node is {value['node']!r}, not {name!r}"] if value.get("node", name) != name else []
    for kind in kinds if not faults else ():
        try:
            return parse(kind, value)
        except ValueError as error:
            faults.append(str(error))
    raise UserError(f"{path} is not a spec that this version reads ({faults[0]}): run `dvc repro plan` to make it anew")


def _of_action(kinds: tuple[type[SpecKind], ...], action: Any) -> tuple[type[SpecKind], ...]:
    """Those of the kinds whose stages do that."""
    return tuple(kind for kind in kinds if getattr(kind, "action", None) == action)


def _parsed(hint: Any, value: Any, key: str) -> Any:
    """A value as its annotation says; `ValueError` where it is another one."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _first_that_fits(inner, value, key)
    if isinstance(hint, type) and issubclass(hint, Settings):
        return parse(hint, value, key)
    if origin is tuple and isinstance(value, list):
        return tuple(_parsed(inner[0], each, key) for each in value)
    if origin is dict and isinstance(value, dict):
        return {name: _parsed(inner[1], each, _key(key, name)) for name, each in value.items()}
    if origin is Literal and value in inner:
        return value
    # By the very type: in Python a bool is a number, too.
    if hint is Any or type(value) is hint or (hint is float and type(value) is int):
        return value
    raise ValueError(f"{key} is {value!r}")


def _first_that_fits(kinds: tuple[Any, ...], value: Any, key: str) -> Any:
    faults = []
    for kind in kinds:
        if kind is NoneType and value is not None:
            continue
        try:
            return _parsed(kind, value, key)
        except ValueError as error:
            faults.append(error)
    raise faults[0]


def _key(within: str, name: str) -> str:
    return f"{within}.{name}".strip(".")


def _plain(value: Any) -> Any:
    if isinstance(value, Settings):
        return value.as_json()
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return value


@cache
def _fields(kind: Any) -> tuple[Field[Any], ...]:
    return fields(kind)


@cache
def _hints(kind: type[Settings]) -> dict[str, Any]:
    return get_type_hints(kind)
