"""`python -m stages <verb>`: one command a stage. DVC calls them; a person can, too."""

# A command hands its spec to what does the work, which it imports only then. It decides nothing about a result, so that
# this file is in no fingerprint: `BODIES` of pipeline/planning/units.py names the code that is.

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated

import typer

from pipeline.base.signals import end_with_parent
from pipeline.console.app import made
from pipeline.console.errors import run

Slot = Annotated[str, typer.Argument(help="Slot of the chain, as in dvc.yaml.")]

app = made(__doc__)


@app.command()
def plan() -> None:
    """Turn params.yaml and the code into one small spec a stage."""
    from pathlib import Path

    from pipeline.base.paths import PLAN
    from pipeline.config import params
    from pipeline.dvc import place
    from pipeline.planning import graph
    from pipeline.planning.build import build
    from pipeline.planning.specs import sharing
    from pipeline.planning.specs.spec import write_specs

    place.check()
    specs = build(params.read(Path("params.yaml")), graph.read(Path("dvc.yaml")))
    if sharing.NAME in specs:
        from pipeline.dvc.remote import remote_folder

        remote_folder()  # that there is none is told now, and not when the images are prepared
    write_specs(specs, PLAN)


@app.command()
def prepare() -> None:
    """Read the images, split them, and write them as memory-mapped arrays or in shards of compressed images."""
    from pipeline.base.paths import DATA
    from pipeline.config.data import Data
    from pipeline.console.progress import log, showing_images
    from pipeline.data.keeping import Keeping
    from pipeline.data.prepare import write
    from pipeline.dvc import links
    from pipeline.dvc.training_state import state_root
    from pipeline.planning.specs.prepare import PrepareSpec
    from pipeline.planning.specs.spec import read_spec
    from pipeline.planning.unlabelled import are_learned

    spec = read_spec("prepare", PrepareSpec)
    data = Data(**spec.data)
    keeping = Keeping(state_root, spec.code["stage"].get("encode", ""), log, showing_images)
    header = write(data, spec.seed, spec.origins is True, keeping)
    bare = header.get("unlabelled", 0)
    log(f"prepare: {data.source}, {header['counts']}{f', {bare:,} of train without a label' if bare else ''}")
    if bare and not are_learned():
        log("prepare: every objective is on hard labels alone, so that no network learns from images without a label")
    if said := links.advice(DATA):
        log(said)


@app.command()
def teacher() -> None:
    """Train the first network of the lineage, or take in what was trained elsewhere."""
    from pipeline.planning.specs.foreign import AnswersSpec, OnnxSpec
    from pipeline.planning.specs.spec import read_spec_if
    from pipeline.training.stage import perform

    foreign = read_spec_if("teacher", AnswersSpec, OnnxSpec)
    if foreign is None:
        _advance("teacher")
    elif isinstance(foreign, AnswersSpec):
        from pipeline.training import foreign as answers

        with _sharing("teacher"):
            perform(answers.take, foreign)
    else:
        from pipeline.training import onnx_teacher

        with _sharing("teacher"):
            perform(onnx_teacher.take, foreign)


@app.command()
def assistant(slot: Slot) -> None:
    """Train one link of the teacher-assistant chain, or carry the one before."""
    _advance(f"assistant/{slot}")


@app.command()
def student() -> None:
    """Train the student at the end of the assistant chain."""
    _advance("student")


@app.command()
def baseline() -> None:
    """Train the student's architecture on hard labels only: what distillation is compared with."""
    _advance("baseline")


@app.command()
def direct() -> None:
    """Train the same student straight from the teacher, without assistants."""
    _advance("direct")


@app.command()
def refinery(slot: Slot) -> None:
    """Train one label-refinery generation, or carry the one before."""
    _advance(f"refinery/{slot}")


@app.command()
def refined() -> None:
    """Pick the best generation of the refinery, generation 0 included, by validation accuracy."""
    from pipeline.training.stage import is_idle

    if is_idle("refined"):
        return
    from pipeline.lineage.refined import pick
    from pipeline.planning.specs.readers import RefinedSpec
    from pipeline.planning.specs.spec import read_spec

    pick(read_spec("refined", RefinedSpec))


@app.command("born_again")
def born_again(slot: Slot) -> None:
    """Train one born-again generation, or carry the one before."""
    _advance(f"born_again/{slot}")


@app.command()
def ensemble() -> None:
    """Combine the born-again generations from what they have stored."""
    from pipeline.training.stage import is_idle

    if is_idle("ensemble"):
        return
    from pipeline.planning.specs.readers import EnsembleSpec
    from pipeline.planning.specs.spec import read_spec
    from pipeline.training.ensemble import write_ensemble

    with _sharing("ensemble"):
        write_ensemble(read_spec("ensemble", EnsembleSpec))


@app.command()
def method(slot: Annotated[str, typer.Argument(help="Name of the method, as in dvc.yaml.")]) -> None:
    """Train the student by one method, from the same teacher and with the same budget."""
    _advance(f"method/{slot}")


@app.command()
def mutual() -> None:
    """Train networks that teach each other."""
    from pipeline.lineage.node import EMPTY_CURVE, write_numbers
    from pipeline.training.stage import is_idle

    if not is_idle("mutual"):
        _advance("mutual")
        return
    write_numbers("mutual/members/skipped", {"status": "skipped"}, EMPTY_CURVE)  # DVC asks for the folders


@app.command()
def compress(slot: Slot) -> None:
    """Do one step of the compress chain, or carry the one before."""
    from pipeline.training.stage import is_idle, perform

    name = f"compress/{slot}"
    if is_idle(name):
        return
    from pipeline.compression.stage import run
    from pipeline.planning.specs.compress import ComputeStepSpec, TrainStepSpec
    from pipeline.planning.specs.spec import read_spec

    with _sharing(name):
        perform(run, read_spec(name, TrainStepSpec, ComputeStepSpec))


@app.command()
def summary() -> None:
    """Gather the figures that people compare."""
    from pipeline.lineage.results import summarise
    from pipeline.planning.specs.readers import SummarySpec
    from pipeline.planning.specs.spec import read_spec

    summarise(read_spec("summary", SummarySpec))


@app.command()
def report() -> None:
    """Write report.html: the whole run on one page."""
    from pipeline.planning.specs.readers import ReportSpec
    from pipeline.planning.specs.spec import read_spec
    from pipeline.report.page import write

    write(read_spec("report", ReportSpec))


def main() -> None:
    """Run a verb, as long as whoever asked for it lives."""
    end_with_parent()
    run(_begin)


def _begin() -> None:
    """Before anything imports torch, which chooses its kernels for good."""
    from pipeline.base.paths import PLAN
    from pipeline.planning.specs.cpu import NAME, CpuSpec

    if (PLAN / f"{NAME}.json").exists() and sys.argv[1:2] != ["plan"]:
        from pipeline.base import cpu
        from pipeline.planning.specs.spec import read_spec

        cpu.fix(read_spec(NAME, CpuSpec).instructions)
    app()


def _advance(name: str) -> None:
    from pipeline.training.stage import advance

    with _sharing(name):
        advance(name)


def _sharing(name: str) -> AbstractContextManager[None]:
    """Share what a node's stage saves, where that is asked for; else nothing of it is imported."""
    from pipeline.planning.specs.sharing import is_asked

    if not is_asked():
        return nullcontext()
    from pipeline.training.sharing import sharing

    return sharing(name)


if __name__ == "__main__":
    main()
