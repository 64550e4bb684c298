"""`python -m tests.mutants`: plant small faults in a copy, one at a time, and see that the tests notice each.

Prints each fault that no test noticed, then a table: an area a row, how many were planted and caught, and seconds.
"""

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants import areas
from tests.mutants.mutant import Mutant
from tests.mutants.planted import FAILED, LONGEST, PASSED, Copy

TAIL = 1000  # characters
OWN = threading.local()  # each thread has a copy


def complaint(tests: list[str]) -> str:
    """What is wrong with tests that fail where no fault is planted; empty where they pass."""
    status, printed = OWN.copy.test(tests, LONGEST * len(tests))
    return "" if status == PASSED else f"{' '.join(tests)} must pass without a fault, but:\n{printed[-TAIL:]}"


def in_parts(mutants: Iterable[Mutant], count: int) -> list[list[str]]:
    """All tests that must notice a fault, in so many parts; those of a file together, as they share what they make."""
    files: dict[str, set[str]] = {}
    for each in (test for mutant in mutants for test in mutant.tests.split()):
        files.setdefault(each.partition("::")[0], set()).add(each)
    # What names a whole file asks for its tests, too.
    lists = [[path] if path in tests else sorted(tests) for path, tests in sorted(files.items())]
    return [[test for tests in lists[start::count] for test in tests] for start in range(min(count, len(lists)))]


def outcome(mutant: Mutant) -> tuple[str, float]:
    """What is wrong with the tests that must notice a fault, empty where one did; and seconds."""
    began = time.monotonic()
    with OWN.copy.planted(mutant):
        status, printed = OWN.copy.test(mutant.tests.split())
    seconds = time.monotonic() - began
    if status == FAILED:
        return "", seconds
    why = "no test failed" if status == PASSED else f"pytest ended with {status}:\n{printed[-TAIL:]}"
    return f"{mutant.path}: {mutant.text!r} -> {mutant.replacement!r}: {why} ({mutant.tests})", seconds


def main() -> None:
    """Plant, test, print; exit status 1 where a fault survived, or tests fail without one."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.mutants")
    parser.add_argument("areas", nargs="*", help=f"of {', '.join(areas())}; all without")
    parser.add_argument("--path", default="", help="only faults in files with this in their path")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    asked = parser.parse_args()
    if unknown := {*asked.areas} - {*areas()}:
        parser.error(f"unknown area {min(unknown)!r}: there are {', '.join(areas())}")
    chosen = [
        (area, mutant)
        for area, listed in areas().items()
        for mutant in listed
        if area in (asked.areas or [area]) and asked.path in mutant.path
    ]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants.") as folder:

        def begin() -> None:
            OWN.copy = Copy(Path(tempfile.mkdtemp(dir=folder)))

        with ThreadPoolExecutor(asked.jobs, initializer=begin) as pool:
            failing = [*filter(None, pool.map(complaint, in_parts((mutant for _, mutant in chosen), asked.jobs)))]
            if failing:
                raise SystemExit("\n".join(failing))
            print(f"the tests pass where nothing is planted ({time.monotonic() - began:.0f} s)", flush=True)
            table = {area: [0, 0, 0.0] for area, _ in chosen}
            for (area, _), (wrong, seconds) in zip(
                chosen, pool.map(outcome, (mutant for _, mutant in chosen)), strict=True
            ):
                if wrong:
                    print(wrong, flush=True)
                row = table[area]
                row[:] = row[0] + 1, row[1] + (not wrong), row[2] + seconds
    for area, (planted, caught, seconds) in table.items():
        print(f"{area:16} {planted:4} planted {caught:4} caught {seconds:6.0f} s")
    caught = sum(row[1] for row in table.values())
    print(f"{len(chosen)} faults planted, {caught} caught, {time.monotonic() - began:.0f} s")
    raise SystemExit(caught < len(chosen))


if __name__ == "__main__":
    main()
