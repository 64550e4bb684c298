"""What plan needs to know of dvc.yaml: the slots of each chain, and who reads them."""

from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import UserError

READERS = {
    "assistant": ("student", "summary"),
    "refinery": ("refined", "summary"),
    "born_again": ("ensemble", "summary"),
}


def read(path: Path) -> dict[str, Any]:
    """The stages of dvc.yaml."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(f"{path.name} cannot be read ({error}): `git checkout {path.name}` brings it back") from None


def slots(stages: dict[str, Any], family: str) -> list[str]:
    """The slots of a chain in order, e.g. g1 … g8."""
    return list(stages[family]["foreach"])


def check_length(stages: dict[str, Any], family: str, length: int, key: str) -> None:
    """Refuse a chain longer than its slots, or slots that no reader depends on."""
    have = slots(stages, family)
    if length > len(have):
        letter, last = have[-1][0], have[-1]
        lines = "\n".join(
            f"  {letter}{n}: {{prev: {family}/{letter}{n - 1}}}" for n in range(len(have) + 1, length + 1)
        )
        readers = " and ".join(READERS[family])
        raise UserError(
            f"params.yaml: {key} is {length}, but dvc.yaml has {len(have)} slots (to {last}); "
            f"add to stages.{family}.foreach\n{lines}\nand artifacts/{family}/<slot> to the deps of {readers}"
        )
    for slot in have:
        for reader in READERS[family]:
            if f"artifacts/{family}/{slot}" not in stages[reader]["deps"]:
                raise UserError(f"dvc.yaml: stages.{reader}.deps lacks artifacts/{family}/{slot}: add it")
