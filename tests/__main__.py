"""`python -m tests`: everything, one part after the other, the long tests, the mutants and the faults included.

A part that fails does not stop the others; the last line names those that did. About 70 minutes on 2 cores.
"""

import subprocess
import sys
import time

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
}


def main() -> None:
    """Run every part; exit status 1 where one failed."""
    began = time.monotonic()
    failed = []
    for name, command in PARTS.items():
        print(f"== {name}: {' '.join(['python', *command[1:]])}", flush=True)
        start = time.monotonic()
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        print(
            f"== {name}: {'passed' if status == 0 else f'FAILED, status {status}'}, {time.monotonic() - start:.0f} s",
            flush=True,
        )
        if status:
            failed.append(name)
    minutes = f"{(time.monotonic() - began) / 60:.0f} min"
    print(
        f"{len(PARTS) - len(failed)} of {len(PARTS)} parts passed in {minutes}"
        + (f"; failed: {', '.join(failed)}" if failed else "")
    )
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
