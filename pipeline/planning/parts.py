"""What the specs of all families are made of."""

import hashlib

from pipeline.planning.specs.slots import CarrySpec, SkipSpec
from pipeline.planning.units import NODE, code


def seed(base: int, role: str) -> int:
    """The seed of a role: adding a node shifts no other's."""
    return int.from_bytes(hashlib.sha256(f"{base}:{role}".encode()).digest()[:4], "big")


def carry(name: str, previous: str) -> CarrySpec:
    """The spec of a slot that stands for the one before."""
    return CarrySpec(node=name, previous=previous, code={"stage": code(NODE)})


def skip(name: str) -> SkipSpec:
    """The spec of a node that params.yaml does not ask for."""
    return SkipSpec(node=name, code={"stage": code(NODE)})
