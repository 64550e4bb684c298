"""Which instructions of the CPU all stages keep to: no stage depends on it, and each reads it before torch."""

from dataclasses import dataclass

from pipeline.planning.specs.spec import Spec

NAME = "cpu"


@dataclass(frozen=True, kw_only=True)
class CpuSpec(Spec):
    """`machine.cpu` of params.yaml, where it names any."""

    instructions: str
