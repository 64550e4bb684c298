"""Whether a GPU that several stages share has room for one more: by the peak of its last run, without torch."""

import time
from collections.abc import Iterable, Sequence

from pipeline.base.paths import PLAN
from pipeline.dvc import previous_run
from pipeline.engines import gpus
from pipeline.planning.specs.compress import ComputeStepSpec, TrainStepSpec
from pipeline.planning.specs.spec import read_spec_if
from pipeline.planning.specs.training import TrainSpec

AROUND = 1 << 30  # bytes: of CUDA and its libraries in each process, which torch does not count
AGAIN = 5.0  # seconds between two looks at a GPU


class Room:
    """The memory of the GPUs, and what the stages that run have been promised of it.

    A stage takes its memory long after it has begun, so what is free now is not what will be: what was free when the
    first one began is shared out. A stage that has not run yet is taken for as large as the largest that has; where
    none has, it has the GPU alone. Where nobody tells what is free, all may begin.

    Args:
        cards: The GPU of each place, None where it has none.
        stages: Those that may begin.
    """

    def __init__(self, cards: Sequence[str | None], stages: Iterable[str]) -> None:
        self.cards = cards
        self.promised: dict[str, dict[str, int]] = {card: {} for card in cards if card}
        self._peaks: dict[str, int] = {}
        self._room: dict[str, int] = {}
        self._looks: dict[str, tuple[float, tuple[int, int] | None]] = {}
        for stage in stages if self.promised else ():
            self._remember(stage)

    def why_not(self, stage: str, place: int) -> str | None:
        """None where the stage may begin at that place, which is promised what it needs; else why it has to wait."""
        card = self.cards[place]
        if card is None or not computes(stage):
            return None
        looked = self._look(card)
        if looked is None:
            return None
        free, whole = looked
        others = self.promised[card]
        need = self._need(stage)
        if not others:
            self._room[card] = free
            # One that nobody else uses has all that it can have, and the stage itself says where that is too little.
            fits = need is None or need <= free or whole - free <= AROUND
        else:
            free = min(free, self._room[card] - sum(others.values()))
            fits = need is not None and need <= free
        if fits:
            others[stage] = whole if need is None else need
            return None
        about = "all of it, as nothing is known of it yet" if need is None else f"about {need / 2**30:.1f} GiB"
        name = card if card.startswith(("GPU", "MIG")) else f"GPU {card}"
        return f"it needs {about}, and {max(0, free) / 2**30:.1f} GiB of {name} are free"

    def leave(self, stage: str) -> None:
        """A stage has ended: what it was promised is free, and its peak is known."""
        for card, others in self.promised.items():
            if others.pop(stage, None) is not None:
                self._looks.pop(card, None)
                self._remember(stage)

    def _need(self, stage: str) -> int | None:
        peak = self._peaks.get(stage, max(self._peaks.values(), default=None))
        return None if peak is None else peak + AROUND

    def _remember(self, stage: str) -> None:
        found = previous_run.read(_node(stage))
        cost = found.metrics["cost"] if found else None
        if isinstance(cost, dict) and isinstance(peak := cost.get("peak_gpu_bytes"), int):
            self._peaks[stage] = peak

    def _look(self, card: str) -> tuple[int, int] | None:
        at, found = self._looks.get(card, (float("-inf"), None))
        if time.monotonic() - at >= AGAIN:
            found = gpus.memory(card)
            self._looks[card] = time.monotonic(), found
        return found


def _node(stage: str) -> str:
    return stage.replace("@", "/", 1)


def computes(stage: str) -> bool:
    """Whether its spec has something to compute on a GPU; slots that carry have not, nor has what only reads."""
    name = _node(stage)
    return (PLAN / f"{name}.json").is_file() and bool(read_spec_if(name, TrainSpec, TrainStepSpec, ComputeStepSpec))
