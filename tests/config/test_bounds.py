"""No number of params.yaml is without an end: a slip of the hand is named, and is no overflow and no endless work."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from pipeline.base.errors import UserError
from pipeline.config import extension, params, term
from pipeline.config.extension import ExtensionPoint
from pipeline.config.network import Budget
from pipeline.config.params import Params
from tests.scratch import PARAMS

POINTS = {name: each for name, each in vars(extension).items() if isinstance(each, ExtensionPoint)}
MODELS = {
    "params.yaml": Params,
    "budget": Budget,
    "term": term.Schedule,
    **{f"{point}.{name}": each.settings(name) for point, each in POINTS.items() for name in each.names()},
}
GIVEN = yaml.safe_load(PARAMS.read_text())
HUGE = (10**31, 10**300, 1e308, float("inf"), float("nan"), -1e308, -(10**31))


def unbounded(schema: Any, path: str = "") -> Iterator[str]:
    """Where a schema lets a number grow or fall without an end."""
    if isinstance(schema, dict):
        if schema.get("type") in ("integer", "number") and "enum" not in schema:
            for ends in (("maximum", "exclusiveMaximum"), ("minimum", "exclusiveMinimum")):
                if not any(end in schema for end in ends):
                    yield f"{path}: no {ends[0]}"
        for key, value in schema.items():
            yield from unbounded(value, f"{path}/{key}")
    elif isinstance(schema, list):
        for number, value in enumerate(schema):
            yield from unbounded(value, f"{path}/{number}")


@pytest.mark.parametrize("name", MODELS)
def test_every_number_has_both_ends(name: str) -> None:
    assert [*unbounded(MODELS[name].model_json_schema())] == []


def test_the_search_for_ends_finds_what_has_none() -> None:
    assert [*unbounded({"properties": {"a": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}}})]
    assert [*unbounded({"a": {"type": "number", "maximum": 1}})]


def numbers(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every number."""
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from numbers(each, (*path, key))
    elif type(value) in (int, float):
        yield path


def test_every_number_of_params_yaml_may_be_too_large_to_be_true() -> None:
    """One read takes long, so all are tried with one of these values each, in turn."""
    found = [*numbers(GIVEN)]
    assert len(found) > 100
    for turn, (*parents, last) in enumerate(found):
        whole = copy.deepcopy(GIVEN)
        section = whole
        for key in parents:
            section = section[key]
        section[last] = HUGE[turn % len(HUGE)]
        with pytest.raises(UserError, match=r"^params.yaml: ") as refused:
            params.check(whole, "params.yaml")
        assert "Traceback" not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value", "least"),
    [
        ("training.batch_size", 99999999999999999999, "1000000000000000"),
        ("labels.views", 10**11, "100000"),
        ("training.epochs", 10**9, "100000"),
        ("seeds.train", 2**63, "9223372036854775808"),
        ("training.lr", 1e31, "10{30}"),
    ],
)
def test_the_end_is_told(key: str, value: Any, least: str) -> None:
    section, name = key.split(".")
    whole = {**GIVEN, section: {**GIVEN[section], name: value}}
    with pytest.raises(UserError, match=rf"^params.yaml: {key}: must be less than (or equal to )?{least}, not "):
        params.check(whole, "params.yaml")
