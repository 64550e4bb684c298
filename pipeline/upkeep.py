"""Commands of `python -m pipeline` that set a folder up, bring it up to date, or tidy it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.console.app import made

app = made(__doc__)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A checkpoint of any format, or a folder of a model hub.")],
    node: Annotated[
        str, typer.Option(help="Whose architecture of params.yaml it is: teacher, student, assistant/t1, mutual/p1, …")
    ] = "teacher",
    architecture: Annotated[str, typer.Option(help="Another one, as in params.yaml: '{family: timm, name: …}'.")] = "",
    ema: Annotated[bool, typer.Option("--ema", help="Take the moving average of the weights.")] = False,
    head: Annotated[str, typer.Option(help="own, its last layer; or new, where it knows other classes.")] = "own",
    classes: Annotated[Path | None, typer.Option(help="Names of its classes, one a line, in its order.")] = None,
    out: Annotated[Path | None, typer.Option(help="The file to write, in place of weights/<node>.safetensors.")] = None,
    dry: Annotated[bool, typer.Option("--dry", help="Write nothing.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write into params.yaml what else is printed for it.")] = False,
) -> None:
    """Turn a checkpoint trained elsewhere into weights for params.yaml; no code in it is run."""
    from pipeline.commands.import_weights import import_weights
    from pipeline.console.progress import log

    how: dict[str, Any] = {"ema": ema, "head": head, "classes": classes, "out": out, "dry": dry, "write": write}
    for line in import_weights(file, node, architecture, **how):
        log(line)


@app.command()
def views(folder: Annotated[Path, typer.Argument(help="Where they go.")]) -> None:
    """The images and views that a teacher elsewhere is to answer, one .npz file a view."""
    from pipeline.commands.views import write
    from pipeline.console.progress import log

    for path in write(folder):
        log(f"{path}, {path.stat().st_size / 1e6:.1f} MB")


@app.command()
def pictures(
    folder: Annotated[Path, typer.Option(help="Where they go.")] = Path("docs/pictures"),
) -> None:
    """Pictures of report.html for the documentation; they need Chromium."""
    from pipeline.base.paths import REPORT
    from pipeline.console.progress import log
    from pipeline.report.pictures import take

    for path in take(REPORT, folder):
        log(f"{path}, {path.stat().st_size / 1e3:.0f} kB")


@app.command()
def use(
    preset: Annotated[str | None, typer.Argument(help="Its name; without one, all are listed.")] = None,
    force: Annotated[bool, typer.Option(help="Also where params.yaml has changes that git does not hold.")] = False,
) -> None:
    """Write a preset into params.yaml: settings for these images; without a name, list what there is."""
    from pipeline.config import presets
    from pipeline.lineage.results import show

    show(presets.use(preset, Path("params.yaml"), force) if preset else presets.lines())


@app.command()
def fastest(
    write: Annotated[bool, typer.Option("--write", help="Write the fastest into params.yaml.")] = False,
) -> None:
    """Which precision and memory layout train teacher and student fastest on this machine, by a few steps of each."""
    from pipeline.commands import fastest
    from pipeline.config import params
    from pipeline.console.progress import log
    from pipeline.lineage.results import show

    machine = params.read(Path("params.yaml")).machine
    found = fastest.ways(log)
    show(fastest.table(found))
    best = fastest.fastest(found, machine.precision, machine.memory_format)
    log(f"fastest: machine.precision {best.precision}, machine.memory_format {best.layout}")
    if write:
        for key, before, now in fastest.write(best):
            log(f"params.yaml: {key} was {before}, is {now}")


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="It is made where it is missing; files in it stay as they are.")],
) -> None:
    """A folder of your own for your data, settings and results: dvc.yaml, params.yaml and what DVC needs, no code."""
    from pipeline.commands.init import init
    from pipeline.console.progress import log

    for line in init(folder):
        log(line)


@app.command()
def upgrade(
    dry: Annotated[bool, typer.Option("--dry", help="Only say what would be done.")] = False,
) -> None:
    """After another release is installed: its new stages in dvc.yaml, what params.yaml lacks, results taken over."""
    from pipeline.commands.upgrade import upgrade
    from pipeline.console.progress import log

    for line in upgrade(dry=dry):
        log(line)


@app.command()
def wire(
    check: Annotated[
        bool, typer.Option("--check", help="Only print what would change; exit with 1 if it would.")
    ] = False,
) -> None:
    """Write the lists of dvc.yaml that follow from its stages: what student, summary, report and plots read."""
    from pipeline.commands.wire import wire
    from pipeline.console.progress import log, log_lines

    changed = wire(Path("dvc.yaml"), check)
    if check and changed:
        log_lines(changed)
        raise typer.Exit(1)
    log("dvc.yaml: its lists are written" if changed else "dvc.yaml: its lists follow from its stages, no change")


@app.command()
def accept(
    dry: Annotated[bool, typer.Option("--dry", help="Only say what would be taken over.")] = False,
) -> None:
    """After an upgrade: take over the results that the release leaves as they are, instead of making them again."""
    from pipeline.commands.accept import accept
    from pipeline.console.progress import log

    for line in accept(dry=dry).lines():
        log(line)


@app.command()
def gc(
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Remove that of unfinished training, too, and all kept images.")
    ] = False,
    remote: Annotated[
        bool, typer.Option("--remote", help="Remove saved state from DVC's default remote, too (docs/sharing.md).")
    ] = False,
) -> None:
    """Remove saved state of finished training, and what is kept of images other than the present ones.

    What they are needed for is in the DVC cache, and stays.
    """
    from pipeline.base.paths import DATA
    from pipeline.commands.gc import collect, looks_in_use
    from pipeline.console.progress import log
    from pipeline.data.prepared import shards_in_use
    from pipeline.dvc.training_state import VARIABLE, state_root

    done = collect(root := state_root(), unfinished=unfinished, used=shards_in_use(DATA), looks=looks_in_use(root))
    log(
        f"removed {done.removed} states"
        + (f", {done.shards} files of encoded images" if done.shards else "")
        + (f", {done.looks} lists of images" if done.looks else "")
        + (f", events of {done.events} stages" if done.events else "")
        + f", {done.bytes / 1e6:.1f} MB"
        + (f"; {done.unfinished} unfinished stay (--unfinished removes them)" if done.unfinished else "")
        + (f"; {done.held} in use stay" if done.held else "")
    )
    if done.strange:
        more = f" and {len(done.strange) - 1} more" if done.strange[1:] else ""
        log(
            f"{done.strange[0]}{more} stay: there is something that is no saved training or encoded image; look into "
            f"it, or set {VARIABLE} to a folder for training state alone (it is {root})"
        )
    if remote:
        from pipeline.commands.gc_remote import collect_remote
        from pipeline.dvc.remote import remote_folder

        there = collect_remote(remote_folder(), unfinished=unfinished)
        log(
            f"removed {there.removed} states from the remote, {there.files} files"
            + (f"; {there.unfinished} unfinished stay (--unfinished removes them)" if there.unfinished else "")
            + (f"; {there.strange} files that are no saved training stay" if there.strange else "")
        )
