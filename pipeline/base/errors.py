"""The one exception that a person reads, and others in a few words."""

import re

LONGEST = 300  # characters
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class UserError(Exception):
    """One sentence: what is wrong, where (file and key), what would be right.

    The command line prints it and exits with 1; a traceback is shown for anything else,
    because anything else is a defect of ours.
    """


def innermost(error: BaseException) -> str:
    """In one line the error that led to this one: torch's compilers wrap it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    words = " ".join(COLOURS.sub("", str(error)).split())
    return f"{type(error).__name__}{words and ': '}{words}"[:LONGEST]
