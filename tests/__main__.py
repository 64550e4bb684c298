"""`python -m tests`: everything, one part after the other, the long tests, the mutants and the faults included.

A part that fails does not stop the others; the last line names those that did. About 80 minutes on 2 cores: therefore a
part that has passed on this very commit, with these packages, is not run again, unless `--anew` asks for it.
"""

import subprocess
import sys
import time
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from pipeline.base import files
from tests.scratch import ROOT

PYTHON = (sys.executable, "-m")
PARTS = {
    "lint": (*PYTHON, "ruff", "check", "."),
    "format": (*PYTHON, "ruff", "format", "--check", "."),
    "types": (*PYTHON, "pyright"),
    "tests": (*PYTHON, "pytest", "-n", "2", "--dist", "loadfile", "--durations", "150"),
    "mutants": (*PYTHON, "tests.mutants"),
    "faults": (*PYTHON, "tests.faults", "--count", "60", "--seed", "13"),
    "whole runs": (*PYTHON, "tests.faults", "--runs", "--count", "20", "--seed", "13", "--jobs", "2"),
    "cluster": (*PYTHON, "tests.faults", "--cluster", "--count", "20", "--seed", "13", "--jobs", "2"),
}
RECORD = ROOT / ".pytest_cache" / "parts.json"  # git leaves that folder alone


def state(root: Path = ROOT) -> str | None:
    """What parts are run on: a hash of the commit's files and of all packages; None where a file is another."""
    if _git(root, "status", "--porcelain"):
        return None
    packages = sorted(f"{each.name} {each.version}" for each in distributions())
    return files.digest([_git(root, "rev-parse", "HEAD^{tree}"), sys.version, packages])


def main(arguments: list[str], root: Path = ROOT, record: Path = RECORD) -> int:
    """Run every part; exit status 1 where one failed."""
    on = state(root)
    before: dict[str, Any] = files.read_json(record) if record.exists() else {}
    passed: dict[str, Any] = before["passed"] if on and before.get("on") == on and "--anew" not in arguments else {}
    kept, failed, seconds = [name for name in PARTS if name in passed], [], 0.0
    for name, command in PARTS.items():
        if name in passed:
            seconds += passed[name]["seconds"]
            print(f"== {name}: passed on {passed[name]['at']}, {passed[name]['seconds']:.0f} s", flush=True)
            continue
        print(f"== {name}: {' '.join(['python', *command[1:]])}", flush=True)
        start = time.monotonic()
        status = subprocess.run(command, cwd=root, check=False).returncode
        spent = time.monotonic() - start
        seconds += spent
        print(f"== {name}: {'passed' if status == 0 else f'FAILED, status {status}'}, {spent:.0f} s", flush=True)
        if status:
            failed.append(name)
        elif on and state(root) == on:  # nothing was changed meanwhile
            passed[name] = {"at": time.strftime("%Y-%m-%d %H:%M"), "seconds": spent}
            files.write_json(record, {"on": on, "passed": passed})
    print(
        f"{len(PARTS) - len(failed)} of {len(PARTS)} parts passed in {seconds / 60:.0f} min"
        + (f", of which on this commit before: {', '.join(kept)}" if kept else "")
        + (f"; failed: {', '.join(failed)}" if failed else "")
    )
    return int(bool(failed))


def _git(root: Path, *command: str) -> str:
    return subprocess.run(("git", *command), cwd=root, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
