"""What plan needs to know of dvc.yaml: the slots of each chain, and who reads them."""

from pathlib import Path
from typing import Any

from pipeline.base.errors import UserError
from pipeline.config.yaml import read_yaml

SHOWN = 12  # lines to add that a message spells out
READERS = {
    "assistant": ("student", "summary", "report"),
    "refinery": ("refined", "summary", "report"),
    "born_again": ("ensemble", "summary", "report"),
    "compress": ("summary", "report"),
}


def read(path: Path) -> dict[str, Any]:
    """The stages of dvc.yaml, whose chains have slots and whose readers have deps."""
    whole = read_yaml(path)
    stages = whole.get("stages") if isinstance(whole, dict) else None
    for keys in (*((family, "foreach") for family in READERS), *((name, "deps") for name in _all_readers())):
        found = stages
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        if not found or not isinstance(found, dict if keys[1] == "foreach" else list):
            raise UserError(
                f"{path.name} lacks stages.{'.'.join(keys)}: `git checkout {path.name}` brings the committed one back"
            )
        if odd := [slot for slot in found if not isinstance(slot, str)]:
            # DVC makes no stage at all of a slot that is a number, and says nothing.
            raise UserError(f"{path.name}: stages.{'.'.join(keys)} holds {odd[0]!r}: use a name such as g{odd[0]}")
    assert isinstance(stages, dict)
    return stages


def _all_readers() -> set[str]:
    return {reader for readers in READERS.values() for reader in readers}


def slots(stages: dict[str, Any], family: str) -> list[str]:
    """The slots of a chain in order, e.g. g1 … g8."""
    return list(stages[family]["foreach"])


def check_length(stages: dict[str, Any], family: str, length: int, key: str) -> None:
    """Refuse a chain longer than its slots, or slots that no reader depends on."""
    have = slots(stages, family)
    if length > len(have):
        letter, last = have[-1][0], have[-1]
        missing = range(len(have) + 1, length + 1)
        lines = "\n".join(f"  {letter}{n}: {{prev: {family}/{letter}{n - 1}}}" for n in missing[:SHOWN])
        lines += f"\n  and so on to {letter}{length}" if len(missing) > SHOWN else ""
        *first, last_reader = READERS[family]
        readers = f"{', '.join(first)} and {last_reader}"
        raise UserError(
            f"params.yaml: {key} is {length}, but dvc.yaml has {len(have)} slots (to {last}); "
            f"add to stages.{family}.foreach\n{lines}\nand artifacts/{family}/<slot> to the deps of {readers}"
        )
    for slot in have:
        for reader in READERS[family]:
            if f"artifacts/{family}/{slot}" not in stages[reader]["deps"]:
                raise UserError(f"dvc.yaml: stages.{reader}.deps lacks artifacts/{family}/{slot}: add it")
