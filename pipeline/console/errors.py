"""What both command lines share: what a person can fix is one sentence on stderr, never a traceback.

Messages may quote what strangers wrote: all of them, warnings and tracebacks too, leave as `console.text` shows them.
"""

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from types import TracebackType
from typing import Any, NoReturn

from typer.core import TyperGroup

from pipeline.base import memory
from pipeline.base.errors import UserError
from pipeline.base.signals import Stopped
from pipeline.console import streams
from pipeline.console.progress import warn
from pipeline.console.text import visible, visible_lines

SYSTEMS = ("linux", "darwin")  # what locks files and starts stages is of POSIX
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


class Commands(TyperGroup):
    """The commands of a command line; what it refuses of its arguments is shown as all else."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Read the arguments before the command's name."""
        with _messages_shown():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Read those of the command, and run it."""
        with _messages_shown():
            return super().invoke(ctx)


@contextmanager
def _messages_shown() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(message := getattr(error, "message", None), str):  # Typer's errors, which it prints itself
            error.__dict__["message"] = visible(message)
        raise


def run(app: Callable[[], object]) -> None:
    """Run a command line. An error that no person can fix is a defect of ours, and keeps its traceback."""
    streams.hold_open()
    _prepare_output()
    if sys.platform not in SYSTEMS:
        _end(f"error: this needs Linux or macOS, and this is {sys.platform}: on Windows, run it in WSL", 1)
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
            sys.excepthook = _traceback  # now: Typer has set its own meanwhile
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


def _prepare_output() -> None:
    """Let nothing that is printed end in another error, or reach a terminal as it is."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            with suppress(OSError):  # it flushes, and may seek what cannot be sought
                stream.reconfigure(errors="backslashreplace")  # letters that the terminal's encoding lacks
    warnings.formatwarning = _warning


def _warning(message: Warning | str, category: type[Warning], *place: object) -> str:
    return visible(f"warning: {message} ({category.__name__})") + "\n"


def _traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    for part in traceback.format_exception(kind, error, trace):
        # A message of several lines stands to the right of ours, so that it forges none.
        print(visible_lines(part.rstrip("\n")).replace("\n", "\n    "), file=sys.stderr)


def _of(error: OSError) -> str:
    name: Any = error.filename
    return f" ({os.fsdecode(name)})" if isinstance(name, str | bytes) else ""


def _end(sentence: str, code: int) -> NoReturn:
    try:
        warn(sentence)
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
