"""The specs that `plan` wrote, as the stages read them. A changed one is refused: what it asks for is nobody's wish."""

from typing import Any

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.paths import PLAN

Spec = dict[str, Any]


def read(name: str) -> Spec:
    """The spec of node `name`, or of `prepare`, `summary`, `report`, `machine`.

    Raises:
        UserError: The chain has no such slot, or the spec is missing or damaged.
    """
    family, _, slot = name.partition("/")
    slots = {path.stem for path in (PLAN / family).glob("*.json")}
    if "/" in name and slots and slot not in slots:
        raise UserError(f"{family} has no slot {slot!r}: dvc.yaml gives it {', '.join(sorted(slots))}")
    return files.read_sealed(PLAN / f"{name}.json")
