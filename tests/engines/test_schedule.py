"""The scheduler with work that only pretends: order, limit, failure, and being asked to stop."""

import signal
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import pytest

from pipeline.engines.schedule import Outcome, among, due, longest_first, run

# A wide tree with one chain, as ours: a teacher, methods of it, generations, and a report on everything.
NEEDS = {
    "plan": set[str](),
    "teacher": {"plan"},
    "kd": {"teacher"},
    "dkd": {"teacher"},
    "baseline": {"plan"},
    "g1": {"baseline"},
    "g2": {"g1"},
    "g3": {"g2"},
    "report": {"kd", "dkd", "g3"},
}


@dataclass
class World:
    """Where a stage takes as many moments as `takes` says, one if it says nothing."""

    takes: Mapping[str, int] = field(default_factory=dict)
    statuses: Mapping[str, int] = field(default_factory=dict)
    stop_at: int | None = None
    deaf: bool = False
    large: str = ""  # begins beside no other
    now: int = 0
    log: list[str] = field(default_factory=list)
    running: dict[str, int] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    most: int = 0

    def run(self, jobs: int, needs: Mapping[str, set[str]] = NEEDS) -> Outcome:
        return run(needs, jobs, self.find, self.begin, self.wait, self.stop_asked)

    def find(self, name: str, free: Collection[int]) -> int | None:
        assert free and not set(free) & {*self.running.values()}
        return None if self.running and self.large in (name, *self.running) else min(free)

    def begin(self, name: str, place: int) -> "Fake":
        assert place not in self.running.values()
        self.running[name] = self.places[name] = place
        self.most = max(self.most, len(self.running))
        self.log.append(name)
        return Fake(self, name, self.now + self.takes.get(name, 1))

    def wait(self) -> None:
        self.now += 1

    def stop_asked(self) -> int:
        return signal.SIGTERM if self.stop_at is not None and self.now >= self.stop_at else 0


@dataclass
class Fake:
    world: World
    name: str
    end: int
    told: int = 0

    def poll(self) -> int | None:
        if self.world.now < self.end:
            return None
        self.world.running.pop(self.name)
        return 130 if self.told and not self.world.deaf else self.world.statuses.get(self.name, 0)

    def stop(self) -> None:
        self.told += 1
        assert self.told == 1
        self.world.log.append(f"{self.name} is told")
        if not self.world.deaf:
            self.end = self.world.now + 2


@pytest.mark.parametrize("jobs", [1, 2, 3, 50])
def test_each_runs_once_and_after_what_it_needs(jobs: int) -> None:
    world = World({"teacher": 3, "g2": 5})
    outcome = world.run(jobs)
    assert sorted(world.log) == sorted(outcome.done) == sorted(NEEDS)
    assert not outcome.failed + outcome.stopped + outcome.not_begun
    for name, needed in NEEDS.items():
        assert all(outcome.done.index(each) < outcome.done.index(name) for each in needed)
        assert all(outcome.done.index(each) <= world.log.index(name) for each in needed), "begun before it was done"
    assert world.most == min(jobs, 3)
    assert {*world.places.values()} == {*range(world.most)}


def test_the_longest_path_comes_first() -> None:
    assert longest_first(NEEDS)[:3] == ["plan", "baseline", "g1"]
    assert longest_first(NEEDS)[-1] == "report"
    world = World()
    world.run(2)
    assert world.log == ["plan", "baseline", "teacher", "g1", "kd", "g2", "dkd", "g3", "report"]
    assert world.now == 6, "the chain and what comes before and after it: no order is faster"


def test_one_begins_as_soon_as_a_place_is_free() -> None:
    world = World({"kd": 10})
    world.run(2)
    assert world.log == ["plan", "baseline", "teacher", "g1", "kd", "g2", "dkd", "g3", "report"]
    assert world.now == 1 + 1 + 10 + 1, "all others fit beside the long one"


def test_what_needs_one_that_failed_is_not_begun_and_the_others_run() -> None:
    outcome = World(statuses={"g1": 1}).run(2)
    assert outcome.failed == ["g1"]
    assert outcome.not_begun == ["g2", "g3", "report"]
    assert {*outcome.done} == {"plan", "teacher", "kd", "dkd", "baseline"}


def test_asked_to_stop_all_are_told_once_and_waited_for() -> None:
    world = World({"baseline": 9, "teacher": 9}, stop_at=3)
    outcome = world.run(2)
    assert world.log == ["plan", "baseline", "teacher", "baseline is told", "teacher is told"]
    assert not world.running
    assert world.now == 3 + 2
    assert outcome.stopped == ["baseline", "teacher"]
    assert outcome.done == ["plan"]
    assert outcome.not_begun == ["kd", "dkd", "g1", "g2", "g3", "report"]


def test_one_that_ends_well_though_it_was_told_is_done() -> None:
    world = World({"plan": 3}, stop_at=1, deaf=True)
    outcome = world.run(2)
    assert world.log == ["plan", "plan is told"]
    assert (outcome.done, outcome.stopped) == (["plan"], [])


def test_nothing_is_begun_after_a_stop_and_nothing_to_do_is_nothing() -> None:
    assert World(stop_at=0).run(2).not_begun == [*NEEDS]
    assert World().run(2, {}) == Outcome()


def test_one_that_finds_no_room_waits_and_others_go_before_it() -> None:
    world = World({"teacher": 3}, large="baseline")
    assert world.run(2).done[-1] == "report"
    assert world.log[:2] == ["plan", "baseline"], "alone it has room"
    assert (world.most, world.now) == (2, 1 + 1 + 3 + 1 + 1), "the teacher and what needs it come after"
    world = World(large="kd")
    world.run(2)
    assert world.log == ["plan", "baseline", "teacher", "g1", "dkd", "g2", "kd", "g3", "report"]


def test_a_stop_ends_what_waits_for_room_beside_nothing() -> None:
    """Other programs may hold a GPU for good."""
    world = World(stop_at=5)
    outcome = run(NEEDS, 2, lambda name, free: None, world.begin, world.wait, world.stop_asked)
    assert (world.now, outcome.not_begun) == (5, [*NEEDS])


def test_due_is_what_changed_and_what_comes_after() -> None:
    assert due(NEEDS, set()) == set()
    assert due(NEEDS, {"g2"}) == {"g2", "g3", "report"}
    assert due(NEEDS, {"plan"}) == {*NEEDS}
    assert among(NEEDS, {"g3", "report"}) == {"g3": set(), "report": {"g3"}}
