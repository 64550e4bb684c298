"""`python -m stages <verb>`: one command a stage. DVC calls them; a person can, too."""

import errno
import importlib
import sys
from pathlib import Path

import typer

from pipeline.errors import UserError
from pipeline.training.signals import Stopped, end_with_parent

VERBS = (
    "plan",
    "prepare",
    "teacher",
    "assistant",
    "student",
    "baseline",
    "direct",
    "refinery",
    "refined",
    "born_again",
    "ensemble",
    "method",
    "mutual",
    "summary",
)

STOPPED = 130  # as a shell says of a command that Ctrl-C ended

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
for _verb in VERBS:
    app.command(_verb)(getattr(importlib.import_module(f"stages.{_verb}"), _verb))


def main() -> None:
    """Run a verb; what a person can mend is one sentence, not a traceback."""
    end_with_parent()
    try:
        app()
    except Stopped as stopped:
        print(stopped, file=sys.stderr, flush=True)
        sys.exit(STOPPED)
    except UserError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            _fail(f"the disk is full{_of(error)}: free some space and run again; finished work and progress are kept")
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            _fail(f"no permission to write or read{_of(error)}: mend its permissions and run again")
        raise


def _of(error: OSError) -> str:
    return f" ({Path(error.filename)})" if error.filename else ""


def _fail(sentence: str) -> None:
    print(f"error: {sentence}", file=sys.stderr, flush=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
