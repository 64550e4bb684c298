"""What plan needs to know of dvc.yaml: the slots of each chain, and that readers' lists are those of `wire`."""

from pathlib import Path
from typing import Any

from pipeline.base.errors import UserError
from pipeline.config.yaml import read_yaml, remedy
from pipeline.planning import wiring

SHOWN = 12  # lines to add that a message spells out
FAMILIES = ("assistant", "refinery", "born_again", "method", "compress")


def read(path: Path) -> dict[str, Any]:
    """The stages of dvc.yaml, whose families have slots and whose readers have the deps that follow from these."""
    whole = complete(read_yaml(path), path.name)
    wiring.check(whole)
    return whole["stages"]


def complete(whole: Any, name: str) -> dict[str, Any]:
    """A dvc.yaml in which nothing is missing that plan or a rule of `wire` looks for.

    Raises:
        UserError: A family has no slots, or a reader no deps, or one is no string.
    """
    stages = whole.get("stages") if isinstance(whole, dict) else None
    for keys in (*((family, "foreach") for family in FAMILIES), *((reader, "deps") for reader in wiring.DEPS)):
        found = stages
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        if not found or not isinstance(found, dict if keys[1] == "foreach" else list):
            raise UserError(f"{name} lacks stages.{'.'.join(keys)}: {remedy(name)}")
        if odd := [slot for slot in found if not isinstance(slot, str)]:
            # DVC makes no stage at all of a slot that is a number, and says nothing.
            raise UserError(f"{name}: stages.{'.'.join(keys)} holds {odd[0]!r}: use a name such as g{odd[0]}")
    return whole


def slots(stages: dict[str, Any], family: str) -> list[str]:
    """The slots of a chain in order, e.g. g1 … g8."""
    return list(stages[family]["foreach"])


def check_length(stages: dict[str, Any], family: str, length: int, key: str) -> None:
    """Refuse a chain longer than its slots."""
    have = slots(stages, family)
    if length > len(have):
        letter, last = have[-1][0], have[-1]
        missing = range(len(have) + 1, length + 1)
        lines = ", ".join(f"`{letter}{n}: {{prev: {family}/{letter}{n - 1}}}`" for n in missing[:SHOWN])
        lines += f" and so on to {letter}{length}" if len(missing) > SHOWN else ""
        raise UserError(
            f"params.yaml: {key} is {length}, but dvc.yaml has {len(have)} slots (to {last}); "
            f"add to stages.{family}.foreach, each in a line, {lines}; then {wiring.COMMAND}"
        )
