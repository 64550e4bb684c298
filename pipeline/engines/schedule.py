"""Which stage is begun next, and what becomes of those that need one that failed. Knows of no DVC and no process."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Protocol

Before = Mapping[str, Collection[str]]  # of each stage: the stages that must be done before it


class RunningStage(Protocol):
    """A stage that runs."""

    def poll(self) -> int | None:
        """0 where it is done, another status where it failed; None as long as it runs."""
        ...

    def stop(self) -> None:
        """Ask it to end soon."""
        ...


@dataclass
class Outcome:
    """What became of the stages; `stopped`: those that were running when a stop was asked for, and are not done."""

    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    not_begun: list[str] = field(default_factory=list)


def run(
    needs: Before,
    jobs: int,
    find: Callable[[str, Collection[int]], int | None],
    begin: Callable[[str, int], RunningStage],
    wait: Callable[[], None],
    stop_asked: Callable[[], int],
) -> Outcome:
    """Run all stages, each when those that it needs are done, not more than `jobs` at a time.

    One that fails keeps those that need it from being begun, and no others. When a stop is asked for, all that run are
    told once, no other is begun, and those that were told are waited for.

    Args:
        find: Which of the places (of 0 to jobs - 1) that are free a stage may begin at; None: it has to wait.
        begin: Begins a stage at a place.
        wait: Returns when one may have ended, or after a moment.
        stop_asked: Whether a stop was asked for.
    """
    order = {name: position for position, name in enumerate(longest_first(needs))}
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    ready: list[str] = []
    running: dict[int, tuple[str, RunningStage]] = {}
    told = False
    outcome = Outcome()
    while True:
        ready = sorted([*ready, *sorter.get_ready()], key=order.__getitem__)
        for name in [*ready]:
            free = sorted({*range(jobs)} - running.keys())
            if not free or stop_asked():
                break
            place = find(name, free)
            if place is not None:
                ready.remove(name)
                running[place] = name, begin(name, place)
        if not running and (not ready or stop_asked()):
            break
        wait()
        if stop_asked() and not told:
            told = True
            for _, work in running.values():
                work.stop()
        for place, (name, work) in [*running.items()]:
            status = work.poll()
            if status is None:
                continue
            del running[place]
            if status == 0:
                sorter.done(name)
                outcome.done.append(name)
            else:
                (outcome.stopped if told else outcome.failed).append(name)
    ended = {*outcome.done, *outcome.failed, *outcome.stopped}
    outcome.not_begun = [name for name in needs if name not in ended]
    return outcome


def longest_first(needs: Before) -> list[str]:
    """All stages, first that from which the longest path of stages still to come begins; among equals as given."""
    length = dict.fromkeys(needs, 1)
    for name in reversed([*TopologicalSorter(needs).static_order()]):
        for needed in needs[name]:
            length[needed] = max(length[needed], length[name] + 1)
    return sorted(needs, key=lambda name: -length[name])


def due(needs: Before, changed: Collection[str]) -> set[str]:
    """The stages that may have to run: those that changed, and all that come after one."""
    found: set[str] = set()
    for name in TopologicalSorter(needs).static_order():
        if name in changed or found.intersection(needs[name]):
            found.add(name)
    return found


def among(needs: Before, names: Collection[str]) -> dict[str, set[str]]:
    """The graph of some stages alone: what the others would have to do is done."""
    return {name: set(needs[name]).intersection(names) for name in needs if name in names}
