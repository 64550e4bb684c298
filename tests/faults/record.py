"""What came of each fault of a run, kept in a JSON file, so that a run that is cut off goes on where it was."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

from pipeline.base.files import write_json

RULE = ("---", "---", "---:", "---", "---")


@dataclass(frozen=True)
class Struck:
    """One fault.

    Attributes:
        seed: Together with the number, what all is drawn from.
        number: Of the fault.
        family: Its kind.
        outcome: What the struck run did, in a word or two; why not, where the fault was skipped.
        wrong: What was lost or differed, or ran on; empty where nothing was.
        seconds: From the fresh copy to the last comparison.
        skipped: Whether it could not be injected here.
    """

    seed: int
    number: int
    family: str
    outcome: str
    wrong: str
    seconds: float
    skipped: bool = False


class Record:
    """All faults struck so far.

    Args:
        path: The JSON file, which need not be there yet; None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.struck = read(path) if path is not None and path.exists() else []
        self._one_at_a_time = Lock()

    def has(self, seed: int, number: int) -> bool:
        """Whether this fault was struck before, and is not to be struck again."""
        return any((each.seed, each.number) == (seed, number) for each in self.struck)

    def add(self, struck: Struck) -> None:
        """Keep what came of one, on the disk at once."""
        with self._one_at_a_time:
            self.struck = sorted([*self.struck, struck], key=lambda each: (each.seed, each.number))
            if self.path is not None:
                write_json(self.path, [asdict(each) for each in self.struck])


def read(path: Path) -> list[Struck]:
    """What a file holds."""
    return [Struck(**each) for each in json.loads(path.read_text())]


def table(struck: Sequence[Struck], how: dict[str, str]) -> str:
    """Markdown: each family, how it is injected, how often, and what came of it.

    Args:
        struck: The faults.
        how: What a family does, by its name.
    """
    rows = [("fault", "how it is injected", "times", "what the struck run did", "after it"), RULE]
    for family in filter({each.family for each in struck}.__contains__, how):
        own = [each for each in struck if each.family == family and not each.skipped]
        skipped = sum(each.family == family for each in struck) - len(own)
        did = Counter(_shortly(each.outcome) for each in own if not each.wrong)
        wrong = sum(bool(each.wrong) for each in own)
        rows.append(
            (
                f"`{family}`",
                how[family],
                f"{len(own)}" + (f", {skipped} skipped" if skipped else ""),
                ", ".join(f"{word} {count}" for word, count in sorted(did.items(), key=lambda item: (-item[1], item))),
                f"same bytes {len(own) - wrong}" + (f", **wrong {wrong}**" if wrong else ""),
            )
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _shortly(outcome: str) -> str:
    """What the run did, of the last of several strikes: not which signal went to whom."""
    return outcome.rpartition("; ")[2].rpartition(": ")[2]
