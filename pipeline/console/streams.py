"""Standard input, output and error, of which whoever starts us may have closed some: `>&-`, or a starter of daemons."""

import os
import sys

NAMES = ("stdin", "stdout", "stderr")


def hold_open() -> None:
    """Lead each one that is closed to nowhere, for us and for what we start.

    Python has None in place of one; and the next file that is opened would take its number, so that a library's or a
    stage's output would be written into that file.
    """
    for number, _ in enumerate(NAMES):
        try:
            os.fstat(number)
        except OSError:
            lead_nowhere(number)
    for number, name in enumerate(NAMES):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115, as long as we run


def lead_nowhere(number: int) -> None:
    """Let what is written to a stream go nowhere, what is read from it be nothing."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere == number:
        os.set_inheritable(number, True)
        return
    os.dup2(nowhere, number)
    os.close(nowhere)
