"""What the command lines have in common."""

import typer

from pipeline.console.errors import Commands
from pipeline.console.version import Version


def made(doc: str | None, completion: bool = False) -> typer.Typer:
    """A command line without commands, of which `doc` says what it is for.

    completion: whether it can install itself for a shell, which completes what a program is called, and no module.
    """
    app = typer.Typer(
        cls=Commands,
        no_args_is_help=True,
        add_completion=completion,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help=doc,
    )

    @app.callback()
    def options(version: Version = False) -> None:
        """What is asked of no command."""

    return app
