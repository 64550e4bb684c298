"""A copy of the repository in which one mutant at a time is planted, and tests run in processes of their own.

They are forked from one that has imported what all tests need of others, so that each takes a second or two.
"""

import importlib.util
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.mutants.mutant import Mutant
from tests.scratch import ROOT

LONGEST = 300.0  # seconds
PASSED, FAILED = 0, 1  # pytest's exit statuses; a file that cannot be imported, or no test at all, is another
OURS = {path.parent.name for path in ROOT.glob("*/__init__.py")}
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["numpy", "onnx", "pydantic", "pytest", "sklearn.datasets", "torchvision"])


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

    def test(self, tests: list[str], longest: float = LONGEST) -> tuple[int, str]:
        """Exit status of pytest over these tests, up to the first failure, and what it printed, in so many seconds."""
        log = self.folder.with_name(f"{self.folder.name}.log")
        process = CONTEXT.Process(target=_pytest, args=(self.folder, tests, log))
        process.start()
        process.join(longest)
        status = process.exitcode
        if status is None:
            process.kill()
            process.join()
            return -1, f"still running after {longest:.0f} s"
        return status, log.read_text(errors="replace")

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


def _pytest(folder: Path, tests: list[str], log: Path) -> None:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.chdir(folder)
    os.environ["OMP_NUM_THREADS"] = "1"
    # This module came from the repository; what is tested comes from the copy.
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    sys.path[:] = [str(folder), *(path for path in sys.path if path not in ("", str(ROOT)))]
    import pytest

    raise SystemExit(
        int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=repeatable", *tests]))
    )
