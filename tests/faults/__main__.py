"""`python -m tests.faults --count 300 --seed 1`: strike a small lineage that often, and say what came of it.

Each fault is drawn from the seed and its own number, so that `--first 17 --count 1` strikes number 17 again.
"""

import argparse
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.disks import DISKS, mountable
from tests.faults.dvc import RUNS
from tests.faults.families import FAMILIES
from tests.faults.world import World, build
from tests.scratch import Scratch

STAGES = {**FAMILIES, **DISKS}


def strike(world: World, scratch: Scratch, seed: int, number: int, folder: Path, names: list[str]) -> tuple[str, str]:
    """One fault: its family and what the struck run did. Raises `AssertionError` for anything lost or changed."""
    draw = random.Random(f"{seed} {number}")
    name = names[number % len(names)]
    if name in RUNS:
        return name, RUNS[name](scratch, world.made, draw, folder)
    return name, STAGES[name](world, draw, folder)


def main() -> None:
    """Strike, and print a table of families, outcomes and counts; status 1 where anything was lost or differed."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.faults")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--families", help=f"comma-separated: {', '.join((*STAGES, *RUNS))}; those in a stage without")
    asked = parser.parse_args()
    outcomes: Counter[tuple[str, str]] = Counter()
    wrong = 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults.") as temporary:
        names = asked.families.split(",") if asked.families else [*FAMILIES]
        if not asked.families and mountable(Path(temporary) / "mounted"):
            names += DISKS
        world, scratch = build(Path(temporary) / "reference")
        for number in range(asked.first, asked.first + asked.count):
            folder = Path(temporary) / str(number)
            try:
                outcomes[strike(world, scratch, asked.seed, number, folder, names)] += 1
            except AssertionError as error:
                wrong += 1
                print(f"seed {asked.seed}, number {number}, {names[number % len(names)]}: {error}", flush=True)
    for (name, outcome), count in sorted(outcomes.items()):
        print(f"{name:20} {outcome:48} {count:6}")
    print(f"{asked.count} faults in {time.monotonic() - began:.0f} s, {wrong} wrong")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
