"""`python -m tests.faults --count 300 --seed 1`: strike a small lineage that often, and say what came of it.

Each fault is drawn from the seed and its own number, so that `--first 17 --count 1` strikes number 17 again. With
`--runs` whole runs are struck. `--record FILE` keeps what came of each, and strikes no number again that is there.
"""

import argparse
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.faults import small
from tests.faults.cluster import CLUSTER
from tests.faults.disks import DISKS
from tests.faults.driver import strike as kill
from tests.faults.families import FAMILIES
from tests.faults.mounts import mountable
from tests.faults.record import Record, Struck
from tests.faults.runs import MOUNTED, RUNS, Run
from tests.faults.world import build
from tests.scratch import Scratch

STAGES = {**FAMILIES, **DISKS}
WHOLE = {**RUNS, **CLUSTER}
Strike = Callable[[random.Random, Path], str]


def strikes(names: list[str], folder: Path) -> dict[str, Strike]:
    """What strikes, by the family's name; the lineages that they strike are made in `folder`."""
    found: dict[str, Strike] = {}
    if of_stages := [name for name in names if name in STAGES]:
        world, _ = build(folder / "reference")
        found |= {name: lambda draw, own, name=name: STAGES[name](world, draw, own) for name in of_stages}
    if of_runs := [name for name in names if name in WHOLE]:
        lineage = small.build(folder / "small")
        found |= {name: lambda draw, own, name=name: _run(WHOLE[name], lineage, draw, own) for name in of_runs}
    return found


def _run(run: Run, lineage: small.Small, draw: random.Random, folder: Path) -> str:
    try:
        return run(lineage, draw, folder)
    finally:  # where it went wrong, what still runs must not slow down those that come
        kill(Scratch(folder / "repository", folder / "state"), signal.SIGKILL)


def struck(seed: int, number: int, family: str, strike: Strike | None, folder: Path) -> Struck:
    """Strike once; without a strike, say that it cannot be struck here."""
    began, wrong = time.monotonic(), ""
    if strike is None:
        return Struck(seed, number, family, "needs the right to mount a file system", "", 0.0, skipped=True)
    try:
        outcome = strike(random.Random(f"{seed} {number}"), folder)
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        outcome, wrong = "wrong", str(error) or repr(error)
    return Struck(seed, number, family, outcome, wrong, round(time.monotonic() - began, 1))


def main() -> None:
    """Strike, and print a table of families, outcomes and counts; status 1 where anything was lost or differed."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.faults")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--families", help=f"comma-separated: {', '.join((*STAGES, *WHOLE))}; those in a stage without")
    parser.add_argument("--runs", action="store_true", help=f"those of whole runs: {', '.join(RUNS)}")
    parser.add_argument("--cluster", action="store_true", help=f"those of machines: {', '.join(CLUSTER)}")
    parser.add_argument("--jobs", type=int, default=1, help="how many faults at a time")
    parser.add_argument("--record", type=Path, help="JSON file to which what came of each is added")
    asked = parser.parse_args()
    record = Record(asked.record)
    every = range(asked.first, asked.first + asked.count)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults.") as temporary, ThreadPoolExecutor(asked.jobs) as pool:
        mounts = mountable(Path(temporary) / "mounted")
        names = [*RUNS] if asked.runs else [*FAMILIES, *(DISKS if mounts else ())]
        names = [*CLUSTER] if asked.cluster else names
        names = asked.families.split(",") if asked.families else names
        if unknown := {*names} - {*STAGES, *WHOLE}:
            parser.error(f"unknown family {min(unknown)!r}: there are {', '.join((*STAGES, *WHOLE))}")
        numbers = [number for number in every if not record.has(asked.seed, number)]
        of = {number: names[number % len(names)] for number in numbers}
        found = strikes([name for name in {*of.values()} if mounts or name not in {*DISKS, *MOUNTED}], Path(temporary))

        def one(number: int) -> None:
            name = of[number]
            each = struck(asked.seed, number, name, found.get(name), Path(temporary) / str(number))
            record.add(each)
            if each.wrong:
                print(f"seed {each.seed}, number {each.number}, {each.family}: {each.wrong}", flush=True)

        try:
            for future in as_completed([pool.submit(one, number) for number in numbers]):
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)
    asked_for = [each for each in record.struck if each.seed == asked.seed and each.number in every]
    for (name, outcome), count in sorted(Counter((each.family, each.outcome) for each in asked_for).items()):
        print(f"{name:20} {outcome:64} {count:6}")
    wrong = sum(bool(each.wrong) for each in asked_for)
    before = f"; {len(asked_for) - len(numbers)} were struck before" if len(asked_for) > len(numbers) else ""
    print(f"{len(asked_for)} faults in {time.monotonic() - began:.0f} s, {wrong} wrong{before}")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
