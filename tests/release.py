"""`python -m tests.release`: write the hashes of today's code into releases.yaml, and keep those of before.

It claims that every weight, label and prediction is the same byte for byte as by the code of before: see that first,
by `python -m pytest -m long tests/commands/test_accept.py`. `--anew UNIT` forgets what was before: results of that unit
are made again, for whoever holds some.
"""

import argparse
import io
import subprocess
import tarfile
from pathlib import Path

import yaml

from pipeline.base.paths import CODE
from pipeline.planning import legacy, releases, units

HEADER = """\
# Changes that leave every byte of every result as it was, for `python -m pipeline accept`. Written by
# `python -m tests.release`, which says what it claims; `renamed` and `added` by hand (releases.py explains).
"""


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(prog="python -m tests.release", description=__doc__)
    parser.add_argument("--anew", action="append", default=[], metavar="UNIT", help="its bytes change; can be repeated")
    asked = parser.parse_args()
    releases.FILE.write_text(text(updated(releases.read(), units.code(units.every()), asked.anew, legacy.units())))


def updated(
    of: releases.Releases, today: dict[str, str], anew: list[str], released: dict[str, str]
) -> releases.Releases:
    """The list with today's hashes at the end of their lines; a new line begins with that of the release, if any."""
    code: dict[str, list[str | None]] = {}
    for unit in sorted(of.code.keys() | today.keys()):
        before: list[str | None] = [] if unit in anew else of.code.get(unit) or [released.get(unit)]
        now = today.get(unit)
        code[unit] = before if before[-1:] == [now] else [*(each for each in before if each != now), now]
    return releases.Releases(of.commit, of.renamed, of.added, code)


def text(of: releases.Releases) -> str:
    """The file: a line a unit."""
    keys = yaml.safe_dump({"commit": of.commit, "renamed": of.renamed, "added": of.added}, sort_keys=False)
    lines = [f"  {unit}: [{', '.join(each or 'null' for each in line)}]\n" for unit, line in of.code.items()]
    return f"{HEADER}{keys}code:\n{''.join(lines)}"


def checkout(commit: str, folder: Path) -> None:
    """Put the files of a commit into a folder. Raises `CalledProcessError` where the history lacks it."""
    packed = subprocess.run(["git", "archive", commit], cwd=CODE, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")


if __name__ == "__main__":
    main()
