"""What the run cost, and what the cache keeps from being paid again."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.report.run import Reported, number_of
from pipeline.report.section import PageSection
from pipeline.report.words import counted, percent, seconds

SHOWN = 12


@dataclass(frozen=True)
class Bill:
    """A network: the seconds that it took, and those that a change of its settings costs.

    again: its own and those of all that learn from it, directly or not. rest: all others', which stay cached.
    """

    name: str
    family: str
    seconds: float
    again: float
    rest: float
    followers: int


def bills(run: Reported) -> list[Bill]:
    """One a network that took time; first those of which a change costs most."""
    took = {entry.name: float(entry.metrics["cost"]["training_seconds"]) for entry in run.networks}
    reads = {entry.name: set(entry.taught_by) for entry in run.networks}
    total = sum(took.values())
    found = []
    for entry in run.networks:
        after = followers(entry.name, reads)
        # In any order the same number: that of a set is another one in each process.
        again = math.fsum(took[name] for name in {entry.name, *after})
        found.append(Bill(entry.name, entry.family, took[entry.name], again, total - again, len(after)))
    return sorted((bill for bill in found if bill.seconds > 0), key=lambda bill: -bill.again)


def followers(name: str, reads: Mapping[str, set[str]]) -> set[str]:
    """All that learn from a network, directly or through others; reads: network -> its teachers."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        teacher = waiting.pop()
        new = {learner for learner, teachers in reads.items() if teacher in teachers} - found - {name}
        found |= new
        waiting.extend(new)
    return found


def section(run: Reported) -> PageSection | None:
    """The bill; None where nothing was trained."""
    every = bills(run)
    if not every:
        return None
    total = sum(bill.seconds for bill in every)
    kept = sum(bill.rest for bill in every) / len(every)
    carried = sum(not entry.own and "/" in entry.name for entry in run.entries.values())
    lead = (
        f"All training together took {seconds(total)}. Change the settings of one network and only it and those that "
        f"learn from it run again: on average {percent(kept / total, 0)} % of that time stays in the cache."
    )
    example = _example(run, every, total)
    return PageSection(
        "cost",
        "What it cost, and what the cache keeps",
        lead,
        {
            "bills": every[:SHOWN],
            "most": every[0].again,
            "total": seconds(total),
            "left_out": counted(len(every) - SHOWN, "network") if len(every) > SHOWN else "",
            "left_out_seconds": seconds(sum(bill.seconds for bill in every[SHOWN:])),
            "carried": carried,
            "example": example,
        },
    )


def _example(run: Reported, every: list[Bill], total: float) -> str:
    """The saving of the commonest experiment: one generation more."""
    chain = [bill for bill in every if bill.family == "born_again"]
    if not chain:
        return ""
    last = max(chain, key=lambda bill: number_of(bill.name))
    return (
        f"One more born-again generation trains one network, about {seconds(last.seconds)}; without a cache the whole "
        f"run would be trained anew, {seconds(total + last.seconds)}."
    )
