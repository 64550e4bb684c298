"""The `machine` section: how the hardware is used."""

from typing import Literal

from pipeline.kinds import Count, NonNegative
from pipeline.sections.base import Section


class Machine(Section):
    """`auto` follows the device; `threads` null leaves torch's own choice; `state_every` is in seconds."""

    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: Count | None = None
    state_every: NonNegative = 20.0
