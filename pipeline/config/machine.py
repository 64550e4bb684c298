"""The `machine` section: how the hardware is used."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from pipeline.config.numbers import Count, NonNegative
from pipeline.config.section import Section, fault


class Machine(Section):
    """`auto` follows the device; `threads` null leaves torch's own choice; `state_every` is in seconds,
    0 saves each step and waits for it. `share_state` puts what is saved to DVC's default remote, too
    (`training.sharing`). `cpu` is what libraries keep to of the CPU's instructions, null all that it has. `trackers`
    are told each epoch's figures (`console.trackers`)."""

    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    precision: Literal["auto", "float32", "tf32", "bfloat16", "float16"] = "auto"
    threads: Annotated[Count, Field(le=1024)] | None = None
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    state_every: NonNegative = 20.0
    share_state: bool = False
    cpu: Literal["default", "avx2", "avx512"] | None = None
    trackers: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = ()

    @field_validator("trackers")
    @classmethod
    def refuse_twice(cls, trackers: tuple[str, ...]) -> tuple[str, ...]:
        """A program that is named twice."""
        if twice := [name for name in trackers if trackers.count(name) > 1]:
            raise fault(f" names {twice[0]} twice: name it once")
        return trackers
