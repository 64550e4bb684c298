"""Whatever other program we run, and whatever it does, we wait for it so long and no longer."""

import ast
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.base import programs
from pipeline.base.errors import UserError
from tests.scratch import ROOT

# Where a process may be started: by `programs` alone, and where somebody looks after it as long as it runs.
STARTS = {
    *("pipeline/base/programs.py", "pipeline/dvc/queue.py", "pipeline/data/cutters.py", "pipeline/commands/queue.py"),
    "pipeline/engines/template.py",
}
CODE = [path for folder in ("pipeline", "stages") for path in sorted((ROOT / folder).rglob("*.py"))]


def test_what_a_program_prints_and_its_status() -> None:
    code = "import sys; print(sys.stdin.read() + '\\u00e9'); sys.stdout.buffer.write(b'\\xff'); sys.exit('no')"
    done = programs.run([sys.executable, "-X", "utf8", "-c", code], 60)
    assert (done.returncode, done.stdout, done.stderr) == (1, "\u00e9\n\ufffd", "no\n")


@pytest.mark.parametrize(
    "script",
    ["exec sleep 47", "sleep 47", "trap '' TERM INT; sleep 47 & sleep 47", "sleep 47 & exit 0"],
    ids=["it", "what it starts", "both, deaf", "what it leaves"],
)
def test_one_that_hangs_is_given_up_in_a_sentence(script: str) -> None:
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"^`sh -c .*` did not end within 0 s: run it by hand, "):
        programs.run(["sh", "-c", script], 0.4)
    assert time.monotonic() - begun < 10


def test_what_it_has_started_ends_with_it() -> None:
    with pytest.raises(UserError):
        programs.run(["sh", "-c", "sleep 48 & sleep 48"], 0.4)
    assert not [each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == ["sleep", "48"]]


def test_one_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"^nvidia-smj is not there: install it$"):
        programs.run(["nvidia-smj", "-L"], 1)


def test_no_other_code_starts_a_process() -> None:
    """Of `multiprocessing` and `os.exec` each use is named; whoever adds one says how long it may take."""
    found = {
        path.relative_to(ROOT).as_posix() for path in CODE for name in _used(path) if name in ("subprocess", "pty")
    }
    assert found == STARTS
    forks = {path.relative_to(ROOT).as_posix(): name for path in CODE for name in _used(path) if _begins(name)}
    assert forks == {
        "pipeline/commands/repro.py": "os.execv",  # it becomes DVC
        "pipeline/engines/process.py": "multiprocessing",  # a stage, which a person may stop
    }


def _begins(name: str) -> bool:
    return name == "multiprocessing" or name.startswith(
        ("os.exec", "os.spawn", "os.posix_spawn", "os.fork", "os.popen")
    )


def _used(path: Path) -> set[str]:
    """The modules that a file imports, and the functions of `os` that it names."""
    found: set[str] = set()
    for each in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(each, ast.Import):
            found |= {alias.name for alias in each.names}
        elif isinstance(each, ast.ImportFrom):
            found.add(each.module or "")
        elif isinstance(each, ast.Attribute) and ast.unparse(each.value) == "os":
            found.add(f"os.{each.attr}")
    return found
