"""Other programs, each run for so long and no longer: one that hangs, as beside a broken driver, must not hang us."""

import subprocess
from collections.abc import Sequence
from contextlib import suppress

from pipeline.base.errors import UserError

KILLED = 1.0  # seconds for one that was killed to be gone


def run(command: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; its output is read as UTF-8, what is none replaced, and it has no input.

    Raises:
        UserError: There is no such program, or it takes longer than that many seconds.
    """
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, encoding="utf-8", errors="replace"
        )
    except FileNotFoundError:
        raise UserError(f"{command[0]} is not there: install it") from None
    try:
        out, error = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        shown = " ".join(command)
        raise UserError(
            f"`{shown}` did not end within {seconds:.0f} s: run it by hand, to see what it waits for"
        ) from None
    finally:
        if process.returncode is None:
            _kill(process)
    return subprocess.CompletedProcess(command, process.wait(), out, error)


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill it with all that it has started, and wait for none: what hangs within the kernel cannot be killed."""
    import psutil

    with suppress(psutil.Error):
        below = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for each in below:
            with suppress(psutil.Error):
                each.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(KILLED)
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()
