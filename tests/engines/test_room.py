"""Room on a GPU for several stages. None is here: what a driver would tell, and what runs left, is made up."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.dvc import previous_run
from pipeline.dvc.previous_run import PreviousRun
from pipeline.engines import gpus
from pipeline.engines.room import AROUND, Room
from pipeline.planning.specs.spec import write_specs
from tests.planning.test_build import build

GIB = 1 << 30
WHOLE = 80 * GIB


@dataclass
class Card:
    """A GPU with so much free; `peaks`: what each node's last run left in its metrics."""

    free: int | None = WHOLE
    peaks: dict[str, object] = field(default_factory=dict)
    asked: int = 0

    def memory(self, name: str) -> tuple[int, int] | None:
        self.asked += 1
        return None if self.free is None else (self.free, WHOLE)

    def last(self, node: str) -> PreviousRun | None:
        return PreviousRun({"cost": self.peaks[node]}, None) if node in self.peaks else None

    def set(self, **gib: int) -> None:
        self.peaks |= {name.replace("_", "/"): {"peak_gpu_bytes": each * GIB - AROUND} for name, each in gib.items()}


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Card:
    """The card, and a plan in the current folder: networks, and a stage that trains nothing."""
    monkeypatch.chdir(tmp_path)
    names = ("teacher", "student", "method/dkd", "refinery/g8")
    write_specs({name: spec for name, spec in build().items() if name in names}, Path("plan"))
    found = Card()
    monkeypatch.setattr(gpus, "memory", found.memory)
    monkeypatch.setattr(previous_run, "read", found.last)
    return found


def room(cards: list[str | None] | None = None) -> Room:
    return Room(cards or ["GPU-1"] * 4, ["teacher", "student", "method@dkd"])


def test_a_stage_begins_where_the_peak_of_its_last_run_fits(card: Card) -> None:
    card.set(teacher=40, student=30, method_dkd=20)
    shared = room()
    assert shared.why_not("teacher", 0) is None
    assert shared.why_not("student", 1) is None, "40 + 30 of 80"
    why = shared.why_not("method@dkd", 2)
    assert why == "it needs about 20.0 GiB, and 10.0 GiB of GPU-1 are free"
    shared.leave("student")
    assert shared.why_not("method@dkd", 1) is None


def test_what_other_programs_hold_is_not_free(card: Card) -> None:
    card.set(teacher=40, student=30)
    card.free = 35 * GIB
    assert room().why_not("teacher", 0) is not None, "nothing of ours runs, and it still waits"
    shared = room()
    assert shared.why_not("student", 0) is None
    card.free, shared = WHOLE, room()
    assert shared.why_not("teacher", 0) is None
    card.free = 20 * GIB
    shared._looks.clear()
    assert shared.why_not("student", 1) is not None, "another program has grown since"


def test_one_that_is_larger_than_the_gpu_may_try_it_alone(card: Card) -> None:
    """It would wait for ever; its own sentence says what to lower."""
    card.set(teacher=90, student=1)
    card.free = WHOLE - GIB // 2
    shared = room()
    assert shared.why_not("student", 0) is None
    assert shared.why_not("teacher", 1) is not None
    shared.leave("student")
    assert shared.why_not("teacher", 1) is None


def test_one_that_never_ran_is_taken_for_as_large_as_the_largest(card: Card) -> None:
    shared = room()
    assert shared.why_not("teacher", 0) is None
    assert "as nothing is known of it yet" in str(shared.why_not("student", 1))
    card.set(teacher=30)
    shared.leave("teacher")
    assert [shared.why_not(name, 0) for name in ("student", "method@dkd")] == [None, None]
    assert str(shared.why_not("teacher", 2)).startswith("it needs about 30.0 GiB, and 20.0 GiB")


def test_what_needs_no_gpu_never_waits_and_what_nobody_knows_is_not_asked_for(card: Card) -> None:
    card.set(teacher=80)
    shared = room(["3", "3", None])
    assert shared.why_not("teacher", 0) is None
    assert [shared.why_not(name, 1) for name in ("prepare", "refinery@g8")] == [None, None]
    assert shared.why_not("student", 2) is None
    assert str(shared.why_not("student", 1)).endswith("of GPU 3 are free")
    card.free = None
    shared = room()
    assert [shared.why_not(name, 0) for name in ("teacher", "student")] == [None, None]


def test_the_driver_is_not_asked_at_each_look(card: Card) -> None:
    card.set(teacher=50, student=50)
    shared = room()
    assert shared.why_not("teacher", 0) is None
    for _ in range(20):
        assert shared.why_not("student", 1) is not None
    assert card.asked == 1


@pytest.mark.parametrize("damaged", [3, {"peak_gpu_bytes": "x"}, {}])
def test_a_metrics_file_without_a_peak_tells_nothing(card: Card, damaged: object) -> None:
    card.peaks["teacher"] = damaged
    assert room().why_not("teacher", 0) is None
