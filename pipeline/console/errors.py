"""What both command lines share: what a person can fix is one sentence on stderr, never a traceback."""

import errno
import os
import sys
from typing import Any, NoReturn

import typer

from pipeline.base import memory
from pipeline.base.errors import UserError
from pipeline.base.signals import Stopped
from pipeline.console import streams

STOPPED = 130  # as a shell says of a command that Ctrl-C ended

FULL = "free some space and run again; finished work and progress are kept"
DENIED = "make it readable and writable for this user and run again"
MENDABLE = {
    errno.ENOSPC: ("the disk is full", FULL),
    errno.EDQUOT: ("the disk quota is used up", FULL),
    errno.EFBIG: ("a file would be larger than this system allows", "raise the limit (ulimit -f) and run again"),
    errno.EACCES: ("permission is denied", DENIED),
    errno.EPERM: ("the system does not permit the change", DENIED),
    errno.EROFS: ("the file system is read-only", "mount it writable, or work elsewhere"),
    errno.EMFILE: ("too many files are open", "raise the limit (ulimit -n) and run again"),
    errno.ENFILE: ("too many files are open on this machine", "close some programs and run again"),
    errno.EIO: ("the disk or its network failed", "look at its health and run again"),
    errno.EISDIR: ("a folder lies where a file must be", "remove it and run again"),
    errno.ENOTDIR: ("a file lies where a folder must be", "remove it and run again"),
    errno.EEXIST: ("something lies where a folder must be", "remove it and run again"),
    errno.ENAMETOOLONG: ("the name is too long", "shorten it and run again"),
    errno.ENOENT: ("the file is missing", "run `dvc repro` to make it"),
}


def run(app: typer.Typer) -> None:
    """Run a command; any other error than one that a person can fix is a defect of ours and keeps its traceback."""
    streams.hold_open()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # what cannot be written must fail here: later Python complains by itself
    except Stopped as stopped:
        _end(str(stopped), STOPPED)
    except BrokenPipeError:
        _close_output()  # as of `| head`, which has read enough: nobody is left to be told
        sys.exit(1)
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        _end(f"error: {sentence}", 1)


def explain(error: BaseException) -> str | None:
    """The sentence for an error that a person can fix; None for any other."""
    if isinstance(error, UserError):
        return str(error)
    if memory.is_out(error):
        return memory.sentence(error)
    if isinstance(error, OSError) and error.errno in MENDABLE:
        what, remedy = MENDABLE[error.errno]
        return f"{what}{_of(error)}: {remedy}"
    return None


def _of(error: OSError) -> str:
    name: Any = error.filename
    return f" ({os.fsdecode(name)})" if isinstance(name, str | bytes) else ""


def _end(sentence: str, code: int) -> NoReturn:
    try:
        print(sentence, file=sys.stderr, flush=True)
    except OSError:
        streams.lead_nowhere(2)
    _close_output()
    sys.exit(code)


def _close_output() -> None:
    """What could not be written stays in the buffer, and Python would complain of it once more on leaving."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            streams.lead_nowhere(number)
