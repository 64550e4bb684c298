"""The `machine` section: how the hardware is used."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.numbers import Count, NonNegative
from pipeline.config.section import Section


class Machine(Section):
    """`auto` follows the device; `threads` null leaves torch's own choice; `state_every` is in seconds,
    0 saves each step and waits for it."""

    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    precision: Literal["auto", "float32", "tf32", "bfloat16", "float16"] = "auto"
    threads: Annotated[Count, Field(le=1024)] | None = None
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    state_every: NonNegative = 20.0
