"""How the hardware is used: no stage depends on it, each reads it."""

from dataclasses import dataclass

from pipeline.planning.specs.spec import Spec, read_spec


@dataclass(frozen=True, kw_only=True)
class MachineSpec(Spec):
    """The `machine` section of params.yaml."""

    device: str
    precision: str
    threads: int | None
    state_every: float
    memory_format: str = "auto"
    trackers: tuple[str, ...] = ()


def read_machine() -> MachineSpec:
    """What plan wrote of it."""
    return read_spec("machine", MachineSpec)
