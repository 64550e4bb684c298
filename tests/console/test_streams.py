"""Whoever starts us may close our streams, or stop reading: no traceback, and nothing written into another file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.console import errors, streams
from tests.scratch import ROOT, Scratch

CLOSED = ("", ">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-")
# What stands open under each number while a command runs, and in what it starts; and what it writes reaches no file.
SHOWN = """
import os, subprocess, sys, typer
from pipeline.console.errors import run
app = typer.Typer(pretty_exceptions_enable=False)
@app.command()
def show():
    with open("mine", "w") as file:
        assert file.fileno() > 2
        for stream in (sys.stdout, sys.stderr):
            print("x" * 100_000, file=stream, flush=True)
            stream.isatty()
        os.write(1, b"x"), os.write(2, b"x")
        sys.stdin.read()
        subprocess.run([sys.executable, "-c", "import sys; print(1); print(2, file=sys.stderr); sys.stdin.read()"])
run(app)
"""


def ran(shell: str, folder: Path) -> subprocess.CompletedProcess[str]:
    # With what Python keeps back to write later, whatever the user's shell says of it.
    own = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    environment = {**own, "PYTHONPATH": str(ROOT), "PYTHON": sys.executable}
    command = ["bash", "-c", shell]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120, stdin=0
    )


@pytest.mark.parametrize("how", CLOSED)
def test_a_closed_stream_is_held_open_for_us_and_for_what_we_start(tmp_path: Path, how: str) -> None:
    (tmp_path / "show.py").write_text(SHOWN)
    done = ran(f"set +e; $PYTHON show.py < /dev/null {how}; code=$?; exit $code", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "mine").read_text() == ""


@pytest.mark.parametrize("how", CLOSED)
def test_an_error_leaves_with_its_status_and_a_sentence_where_one_can_be_read(tmp_path: Path, how: str) -> None:
    done = ran(f"$PYTHON -m stages plan {how}", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no params.yaml") == ("2>&-" not in how), done.stderr
    assert done.stderr.count("\n") <= 1


@pytest.mark.parametrize("lines", [1, 100_000])
@pytest.mark.parametrize("flush", [True, False])
def test_an_output_that_nobody_reads_any_more_ends_in_silence(tmp_path: Path, lines: int, flush: bool) -> None:
    (tmp_path / "show.py").write_text(
        "import time, typer\n"
        "from pipeline.console.errors import run\n"
        "app = typer.Typer(pretty_exceptions_enable=False)\n"
        "@app.command()\n"
        "def show():\n"
        "    time.sleep(0.5)\n"
        f"    for number in range({lines}): print('a line', flush={flush})\n"
        "run(app)"
    )
    done = ran("$PYTHON show.py | true; exit ${PIPESTATUS[0]}", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    done = ran("{ $PYTHON show.py 2>&1; } | true; exit ${PIPESTATUS[0]}", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_a_full_output_is_told_where_nothing_was_flushed(tmp_path: Path) -> None:
    (tmp_path / "show.py").write_text(
        "import typer\n"
        "from pipeline.console.errors import run\n"
        "app = typer.Typer(pretty_exceptions_enable=False)\n"
        "app.command()(lambda: print('a line'))\n"
        "run(app)"
    )
    done = ran("$PYTHON show.py > /dev/full", tmp_path)
    assert (done.returncode, done.stderr) == (1, f"error: the disk is full: {errors.FULL}\n")


def test_what_is_open_stays_what_it_is() -> None:
    before = [os.fstat(number) for number in range(3)], sys.stdin, sys.stdout, sys.stderr
    streams.hold_open()
    assert ([os.fstat(number) for number in range(3)], sys.stdin, sys.stdout, sys.stderr) == before


@pytest.mark.long
@pytest.mark.parametrize("how", [">&-", CLOSED[-1]])
def test_training_without_a_stream_is_training(untrained: Scratch, lineage: Scratch, how: str) -> None:
    untrained.run("bash", "-c", f"python -m stages baseline < /dev/null {how}")
    assert untrained.hashes("baseline") == lineage.hashes("baseline")
