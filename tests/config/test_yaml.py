"""YAML as DVC reads it."""

import pytest

from pipeline.base.errors import UserError
from pipeline.config.yaml import parse


@pytest.mark.parametrize(
    ("text", "value"), [("1e-4", 1e-4), ("-2E+3", -2000.0), (".5e1", 5.0), ("1.e0", 1.0), ("10", 10)]
)
def test_numbers_with_an_exponent_are_numbers(text: str, value: float) -> None:
    found = parse(f"lr: {text}", "params.yaml")["lr"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["1e", "e5", "1e-4x"])
def test_what_only_looks_like_one_is_a_string(text: str) -> None:
    assert parse(f"lr: {text}", "params.yaml") == {"lr": text}


@pytest.mark.parametrize("text", ["lr: 1\nlr: 2", "a: {lr: 1, b: 2, lr: 1}", "- {a: 1}\n- {a: 1, a: 2}"])
def test_a_key_that_is_given_twice_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is given twice"):
        parse(text, "params.yaml")
