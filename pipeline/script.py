"""`cohobate`: the commands of `python -m pipeline`, and below `stages` those of `python -m stages`."""

from pathlib import Path

from pipeline.__main__ import app as commands
from pipeline.base.errors import UserError
from pipeline.base.paths import CODE
from pipeline.console.app import made
from pipeline.console.errors import run
from stages.__main__ import app as stages


def main() -> None:
    """The console script."""
    run(_both)


def _both() -> None:
    own = Path("pipeline")
    if own.is_dir() and not own.samefile(CODE / "pipeline"):
        # `dvc repro` runs what lies here: a look at it by other code might see another plan.
        raise UserError(
            f"this folder has code of its own in pipeline/, and this cohobate is that of {CODE}: give `python -m "
            "pipeline …` here, or install this folder by `pip install -e .`"
        )
    app = made(commands.info.help, completion=True)
    app.registered_commands += commands.registered_commands
    app.add_typer(stages, name="stages", help="One command a stage, as DVC calls them.")
    app()
