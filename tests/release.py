"""`python -m tests.release`: write the hashes of today's code into releases.yaml, and keep those of before.

It claims that every weight, label and prediction is the same byte for byte as by the code of before: see that first,
by `python -m pytest -m long tests/commands/test_accept.py`. `--anew UNIT` forgets what was before: results of that unit
are made again, for whoever holds some. `--baseline COMMIT` forgets all that was before that commit: for when prepared
data have changed, and with them every result.
"""

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import yaml

from pipeline.base.paths import CODE
from pipeline.planning import releases, units

HEADER = """\
# Changes that leave every byte of every result as it was, for `python -m pipeline accept`. Written by
# `python -m tests.release`, which says what it claims; `renamed` and `added` by hand (releases.py explains).
"""


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(prog="python -m tests.release", description=__doc__)
    parser.add_argument("--anew", action="append", default=[], metavar="UNIT", help="its bytes change; can be repeated")
    parser.add_argument("--baseline", metavar="COMMIT", help="its results are the oldest that are taken over")
    asked = parser.parse_args()
    listed = baseline(asked.baseline) if asked.baseline else releases.read()
    releases.FILE.write_text(text(updated(listed, units.code(units.every()), asked.anew)))


def baseline(commit: str) -> releases.Releases:
    """The list as it would have begun with that commit: each unit by the code that it had there."""
    with tempfile.TemporaryDirectory() as folder:
        checkout(commit, Path(folder))
        asked = "import json; from pipeline.planning import units; print(json.dumps(units.code(units.every())))"
        said = subprocess.run([sys.executable, "-c", asked], cwd=folder, check=True, capture_output=True, text=True)
    return releases.Releases(commit, {}, {}, {unit: [found] for unit, found in json.loads(said.stdout).items()})


def updated(of: releases.Releases, today: dict[str, str], anew: list[str]) -> releases.Releases:
    """The list with today's hashes at the end of their lines; specs of before did not name what has no line yet."""
    code: dict[str, list[str | None]] = {}
    for unit in sorted(of.code.keys() | today.keys()):
        before: list[str | None] = [] if unit in anew else of.code.get(unit) or [None]
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
