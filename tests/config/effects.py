"""What the keys of params.yaml may be, and whether a key with a value has an effect."""

import copy
import hashlib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

import torch
import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from pipeline.base.errors import UserError
from pipeline.config import params
from pipeline.config.extension import FAMILIES, OBJECTIVES, Extended
from pipeline.config.term import Schedule
from pipeline.planning import build as plan
from pipeline.planning import graph
from tests.scratch import PARAMS, ROOT

GIVEN = yaml.safe_load(PARAMS.read_text())
# What other methods have more are terms, which are tried by themselves.
GIVEN["method"] = {name: GIVEN["method"][name] for name in ("soft_targets", "hint", "fitnet", "rkd")}
STAGES = graph.read(ROOT / "dvc.yaml")
NUMBERS: list[Any] = [0, 1, 2, 3, 5, 8, 0.25, 0.5, 0.75, 1.5]
Settings = dict[str, Any]
Trace = Callable[[Settings], str]
Refusal = Callable[[Settings], str | None]


def literals(annotation: Any) -> list[Any]:
    """The values of a Literal, also within a union."""
    if get_origin(annotation) is Literal:
        return [*get_args(annotation)]
    return [each for part in get_args(annotation) for each in literals(part)]


def values(field: FieldInfo) -> list[Any]:
    """What a key may be set to beside its default; nothing where it takes a mapping, or words of its own."""
    found = []
    kind: Any = Annotated[field.annotation, field] if field.metadata else field.annotation  # pyright: ignore[reportInvalidTypeForm] known when it runs
    adapter = TypeAdapter(kind)
    lists = [[number] * 2 for number in (1, 2, 0.25)]
    for value in [None, True, False, *NUMBERS, *literals(field.annotation), *lists]:
        try:
            if (valid := adapter.validate_python(value)) != field.default and type(value) in (type(valid), list, int):
                found.append(value)
        except ValidationError:
            continue
    return found


def leaves(section: Any, path: str) -> Iterator[tuple[str, FieldInfo]]:
    """The path of each key that a section may have, with its declaration."""
    for name, field in type(section).model_fields.items():
        value, key = getattr(section, name), f"{path}.{field.alias or name}".strip(".")
        if isinstance(value, BaseModel):
            yield from leaves(value, key)
        elif name == "architecture" and value:
            yield from ((f"{key}.{each}", its) for each, its in FAMILIES.settings(value["family"]).model_fields.items())
        elif name == "objective":
            for term in value:
                declared = {**Schedule.model_fields, **OBJECTIVES.settings(term).model_fields}
                yield from ((f"{key}.{term}.{each}", its) for each, its in declared.items())
        elif isinstance(value, dict) and value and all(isinstance(each, BaseModel) for each in value.values()):
            for each in value:
                yield from leaves(value[each], f"{key}.{each}")
        else:
            yield key, field
    if isinstance(section, Extended):
        point, chosen = section.point, getattr(section, section.chosen_by)
        others = point.names() if section.inherits else [chosen]
        for each in others:
            yield from ((f"{path}.{key}", field) for key, field in point.settings(each).model_fields.items())


def with_key(path: str, value: Any, within: Mapping[str, Any] = GIVEN) -> dict[str, Any]:
    whole = copy.deepcopy(dict(within))
    *parents, last = path.split(".")
    section = whole
    for key in parents:
        section[key] = section[key] if isinstance(section.get(key), dict) else {}
        section = section[key]
    section[last] = value
    return whole


def planned(whole: dict[str, Any]) -> dict[str, Any]:
    specs = plan.build(params.check(whole, "params.yaml"), STAGES)
    return {name: spec.as_json() for name, spec in specs.items()}


def everything() -> dict[str, FieldInfo]:
    return dict(leaves(params.check(GIVEN, "params.yaml"), ""))


def flattened(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from flattened(each, f"{path}.{key}".strip("."))
    else:
        yield path


def lookup(value: Any, path: str) -> Any:
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def agrees(declared: Mapping[str, FieldInfo], start: Settings, refusal: Refusal, trace: Trace) -> int:
    """Try each key beside each position of the others; how often it had no effect.

    refusal: the key that the rule finds without an effect; "" where another rule refuses. trace: all that comes of
    the settings.
    """
    idle, trace = 0, cache_of(trace)
    for others, key in itertools.product(positions(declared), declared):
        rest = {**start, **others}
        if key in rest or declared[key].is_required() or refusal(rest) is not None or refused(rest, trace):
            continue
        possible = values(declared[key])
        tried = [{**rest, key: value} for value in [*possible[:1], *possible[-1:]]]
        tried = [each for each in tried if refusal(each) in (None, key) and not refused(each, trace)]
        counts = any(trace(each) != trace(rest) for each in tried)
        for each in tried:
            assert (refusal(each) is None) == counts, f"{each}: {key} {'counts' if counts else 'has no effect'}"
        idle += bool(tried) and not counts
    return idle


def cache_of(trace: Trace) -> Trace:
    """As `trace`, each settings once; a fault is one again."""
    known: dict[str, str | Exception] = {}

    def cached(settings: Settings) -> str:
        key = repr(sorted(settings.items()))
        if key not in known:
            try:
                known[key] = trace(settings)
            except (UserError, AssertionError) as error:
                known[key] = error
        found = known[key]
        if isinstance(found, Exception):
            raise found
        return found

    return cached


def positions(declared: Mapping[str, FieldInfo]) -> list[Settings]:
    """Of the keys that may leave nothing to another: each by each of its names, on, or off; and all off."""
    found: list[Settings] = [{}]
    for key, field in declared.items():
        possible = values(field)
        names = [each for each in possible if each in (None, 0) or isinstance(each, bool | str)]
        found += [{key: each} for each in names or possible[len(possible) // 2 :][:1]]
    return [*found, {key: 0 for key, field in declared.items() if 0 in values(field)}]


def refused(settings: Settings, trace: Trace) -> bool:
    """Whether the code itself cannot work with them."""
    try:
        trace(settings)
    except (UserError, AssertionError):
        return True
    return False


def refusing(read: Callable[[Settings], object]) -> Refusal:
    """What `agrees` asks, of a function that reads settings."""
    known: dict[str, str | None] = {}

    def refusal(settings: Settings) -> str | None:
        key = repr(sorted(settings.items()))
        if key not in known:
            known[key] = None
            try:
                read(settings)
            except (UserError, ValidationError, PydanticCustomError) as error:
                found = re.search(r"([a-z_]+) has no effect where", str(error))
                known[key] = found[1] if found else ""
        return known[key]

    return refusal


def digest(*found: Any) -> str:
    """Tensors by value, all else by what it prints."""
    state = hashlib.sha256()
    for each in found:
        for part in each.values() if isinstance(each, Mapping) else [each]:
            state.update(part.detach().numpy().tobytes() if isinstance(part, torch.Tensor) else repr(part).encode())
    return state.hexdigest()
