"""What the specs of all families are made of."""

import hashlib
from collections.abc import Iterable
from typing import Any

from pipeline.base.paths import CODE
from pipeline.config.extension import FAMILIES
from pipeline.planning.fingerprint import fingerprint
from pipeline.planning.specs.slots import CarrySpec

TRAINING = "pipeline/training/stage.py"
# Where the code of each stage begins that is in its fingerprint.
BODIES = {
    "prepare": "pipeline/data/prepare.py",
    **dict.fromkeys(("teacher", "assistant", "student", "baseline", "direct"), TRAINING),
    **dict.fromkeys(("refinery", "born_again", "method", "mutual"), TRAINING),
    "refined": "pipeline/lineage/refined.py",
    "ensemble": "pipeline/lineage/ensemble.py",
    "compress": "pipeline/compression/stage.py",
    "summary": "pipeline/lineage/results.py",
    "report": "pipeline/report/page.py",
}


def seed(base: int, role: str) -> int:
    """The seed of a role: adding a node shifts no other's."""
    return int.from_bytes(hashlib.sha256(f"{base}:{role}".encode()).digest()[:4], "big")


def carry(name: str, previous: str) -> CarrySpec:
    """The spec of a slot that stands for the one before."""
    return CarrySpec(node=name, previous=previous, code=code(["pipeline/lineage/node.py"]))


def models(architecture: dict[str, Any]) -> list[str]:
    """The code that builds an architecture."""
    budget = ["pipeline/models/budget.py"] if "budget" in architecture else []
    return [FAMILIES.code(architecture["family"]), *budget]


def code(paths: Iterable[str]) -> str:
    """The fingerprint of these files, below the project folder, and of all that they import."""
    return fingerprint(CODE, [CODE / path for path in paths])
