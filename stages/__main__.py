"""`python -m stages <verb>`: one command a stage. DVC calls them; a person can, too."""

import importlib

import typer

from pipeline.base.signals import end_with_parent
from pipeline.console.errors import run

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
    "compress",
    "summary",
    "report",
)

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
for _verb in VERBS:
    app.command(_verb)(getattr(importlib.import_module(f"stages.{_verb}"), _verb))


def main() -> None:
    """Run a verb, as long as whoever asked for it lives."""
    end_with_parent()
    run(app)


if __name__ == "__main__":
    main()
