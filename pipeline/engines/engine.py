"""Where stages run: what `repro` asks of it. This machine is one such engine."""

from collections.abc import Callable, Collection, Sequence
from multiprocessing.connection import wait
from typing import Protocol

from pipeline.engines.process import Process
from pipeline.engines.room import Room

EVERY = 0.2  # seconds between checks of what runs


class StageWork(Protocol):
    """A stage that runs somewhere, and what became of it.

    Attributes:
        began: When, in seconds of the monotonic clock.
        why: Where it failed, for what reason.
    """

    stage: str
    began: float
    why: str

    @property
    def has_ended(self) -> bool:
        """Whether it is time to `close`."""
        ...

    @property
    def unchanged(self) -> bool:
        """Whether it was not due."""
        ...

    def poll(self) -> int | None:
        """0 where the stage is done or was not due, another status where it failed; None before `close`."""
        ...

    def stop(self) -> None:
        """Ask the stage to save its state and end."""
        ...

    def newest(self) -> str:
        """The last line of the output so far, as far as it is known here."""
        ...

    def close(self) -> str:
        """All output of one that has ended."""
        ...


class Engine(Protocol):
    """Places where stages run, numbered from 0."""

    @property
    def places(self) -> int:
        """How many."""
        ...

    def find(self, stage: str, free: Collection[int]) -> int | str | None:
        """The place at which a stage may begin; else why it waits, None where that is clear."""
        ...

    def begin(self, stage: str, place: int) -> StageWork:
        """Begin a stage."""
        ...

    def wait(self, running: Sequence[StageWork]) -> None:
        """Return when one of these may have ended, or after a moment."""
        ...

    def leave(self, work: StageWork) -> None:
        """A stage has ended: what it took is free."""
        ...


class Here:
    """This machine.

    Args:
        environments: Of each place, what to add to the environment.
        room: The memory of the GPUs.
        bring_about: As of `Process`.
    """

    def __init__(
        self,
        environments: Sequence[dict[str, str]],
        room: Room,
        bring_about: Callable[[str], bool] | None = None,
    ) -> None:
        self.environments = environments
        self.room = room
        self.bring_about = bring_about
        self.places = len(environments)
        self._running: dict[str, Process] = {}

    def find(self, stage: str, free: Collection[int]) -> int | str | None:
        """The first place whose GPU has room."""
        why = None
        for place in free:
            why = self.room.why_not(stage, place)
            if why is None:
                return place
        return why

    def begin(self, stage: str, place: int) -> Process:
        """In a process of its own."""
        self._running[stage] = Process(stage, self.environments[place], self.bring_about)
        return self._running[stage]

    def wait(self, running: Sequence[StageWork]) -> None:
        """Wait for the end of a process."""
        wait([each.sentinel for each in self._running.values()], EVERY)

    def leave(self, work: StageWork) -> None:
        """Its place, and its memory on a GPU."""
        del self._running[work.stage]
        self.room.leave(work.stage)
