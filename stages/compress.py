"""Do one step of the compress chain, or carry the one before."""

from typing import Annotated

from typer import Argument


def compress(slot: Annotated[str, Argument(help="Slot of the chain, as in dvc.yaml.")]) -> None:
    """Do one step of the compress chain, or carry the one before."""
    from pipeline.planning import specs
    from pipeline.training.stage import advance, perform

    name = f"compress/{slot}"
    spec = specs.read(name)
    if spec["action"] == "carry":
        advance(name)
        return
    from pipeline.compression.stage import run

    perform(run, spec)
