"""Keys without an effect. What params.yaml accepts must count.

A key that cannot have an effect beside the others may stand at its default; set to anything else it is refused, with
the key that would give it an effect. What a key needs is declared where the key is: `NEEDS` of a section, or of the
file that declares a setting, is {key: {other key: wanted}}, where it is enough that one of the other keys has what is
wanted. `config.across` holds what hangs on other sections.

What is switched off whole is kept for later, and not refused: a term of weight 0, a chain of no links, an ensemble of
one, architectures and steps beyond those asked for, the training of an imported teacher. A limit that is not reached
(`clip`, `patience`) is no key without an effect.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

# One of these values; a number above 0; any value but the default.
Wanted = Sequence[Any] | Literal[">0"] | None
Needs = Mapping[str, Mapping[str, Wanted]]


def idle(needs: Needs, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each key that is set and has no effect, with the sentence that says why."""
    for key, others in needs.items():
        if values[key] == defaults[key]:
            continue
        if not any(_holds(wanted, values[other], defaults[other]) for other, wanted in others.items()):
            yield key, sentence(key, {other: values[other] for other in others}, others)


def sentence(key: str, found: Mapping[str, Any], wanted: Mapping[str, Wanted]) -> str:
    """That `key` has no effect where other keys are what was found, and to what one of them must be set."""
    where = " and ".join(f"{other} is {text(value)}" for other, value in found.items())
    remedy = " or ".join(f"{other}{_to(each)}" for other, each in wanted.items())
    return f"has no effect where {where}: set {remedy}, or leave {key} out"


def text(value: Any) -> str:
    """A value as YAML has it."""
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))


def _to(wanted: Wanted) -> str:
    if wanted == ">0":
        return " above 0"
    return f" to {' or '.join(map(text, wanted))}" if wanted else ""


def _holds(wanted: Wanted, value: Any, default: Any) -> bool:
    if wanted == ">0":
        return value > 0
    return value != default if wanted is None else value in wanted
