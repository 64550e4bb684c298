"""A copy of the repository in which one mutant at a time is planted."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.mutants.mutant import Mutant
from tests.scratch import ROOT

LONGEST = 300.0  # seconds
PYTEST = (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider")
PASSED, FAILED = 0, 1  # pytest's exit statuses; a file that cannot be imported, or no test at all, is another


class Copy:
    """The files that git tracks, and those that it would, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / name)

    def test(self, tests: Sequence[str]) -> tuple[int, str]:
        """Exit status of pytest over these tests, up to the first failure, and what it printed."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                [*PYTEST, *tests],
                cwd=self.folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=LONGEST,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return -1, f"still running after {LONGEST:.0f} s"
        return done.returncode, done.stdout

    @contextmanager
    def planted(self, mutant: Mutant) -> Iterator[None]:
        """Work with the fault in its place."""
        path = self.folder / mutant.path
        whole = path.read_text()
        self._write(path, mutant.planted(whole))
        try:
            yield
        finally:
            self._write(path, whole)

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text)
        # Python takes a compiled file for the right one where size and second of its source are the same.
        Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
