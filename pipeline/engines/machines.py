"""What an engine that has other machines must give, and what goes to these and comes back.

Each process of an engine's imports it on each machine, so neither DVC nor pydantic is needed for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.dvc.address import Remote

if TYPE_CHECKING:
    from pipeline.config.resources import Request


@dataclass(frozen=True)
class Errand:
    """What a machine is to do.

    Attributes:
        stage: As DVC names it.
        entries: What dvc.lock says of it, if it has run, and of those that it needs; None of one that has not.
        device: What computes, in place of `machine.device`.
        environment: Added to the machine's own.
    """

    stage: str
    entries: dict[str, Any]
    remote: Remote
    device: str
    environment: dict[str, str]


@dataclass(frozen=True)
class Ended:
    """What became of it.

    Attributes:
        status: Of the process, as of `process.guarded`.
        output: All that the stage and DVC printed.
        entry: What dvc.lock is to say of the stage; None where it is not done.
        host: The machine's name.
    """

    status: int
    output: str
    entry: dict[str, Any] | None
    host: str


@dataclass(frozen=True)
class Offer:
    """A machine, and what it has for stages; `memory` in GiB."""

    cpus: float
    gpus: float
    memory: float
    labels: Mapping[str, str]


class Handle(Protocol):
    """An errand on its way."""

    def ended(self) -> Ended | None:
        """What became of it; None as long as it runs."""
        ...

    def stop(self) -> None:
        """Ask the stage to save its state and end."""
        ...


class Machines(Protocol):
    """All else is the same for each engine."""

    def offers(self) -> list[Offer]:
        """The machines that are there now."""
        ...

    def send(self, errand: Errand, request: "Request") -> Handle:
        """Let one of them do it, again where that machine is lost."""
        ...
