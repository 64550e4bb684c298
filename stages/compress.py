"""Do one step of the compress chain, or carry the one before."""

from typing import Annotated

from typer import Argument


def compress(slot: Annotated[str, Argument(help="Slot of the chain, as in dvc.yaml.")]) -> None:
    """Do one step of the compress chain, or carry the one before."""
    from pipeline.planning.specs.slots import CarrySpec
    from pipeline.planning.specs.spec import read_spec, read_spec_if
    from pipeline.training.stage import advance, perform

    name = f"compress/{slot}"
    if read_spec_if(name, CarrySpec):
        advance(name)
        return
    from pipeline.compression.stage import run
    from pipeline.planning.specs.compress import ComputeStepSpec, TrainStepSpec

    perform(run, read_spec(name, TrainStepSpec, ComputeStepSpec))
