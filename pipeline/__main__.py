"""`python -m pipeline <command>`: look at the lineage, compare experiments, tidy up."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.base.errors import UserError
from pipeline.base.kinds import check_file
from pipeline.console.app import made
from pipeline.console.errors import run

AsJson = Annotated[bool, typer.Option("--json", help="For a program: each row as a JSON object, one a line.")]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, show_default=False, help="How many at a time. Not given: one, or eight on a cluster."),
]
On = Annotated[
    str | None,
    typer.Option(show_default=False, help="Where stages run: `ray`, a cluster (docs/cluster.md). Not given: here."),
]

app = made(__doc__)


@app.command()
def repro(
    targets: Annotated[list[str] | None, typer.Argument(help="Stages, as of `dvc repro`; all without.")] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            show_default=False,
            help="How many stages at a time; each needs memory of its own. Not given: one a GPU, or one, or all that "
            "fit on a cluster.",
        ),
    ] = None,
    dry: Annotated[
        bool,
        typer.Option(
            "--dry", help="Only say what would run, why, how long it takes and what it writes; write nothing."
        ),
    ] = False,
    on: On = None,
    as_json: AsJson = False,
) -> None:
    """As `dvc repro`, with several stages at a time: each when those that it needs are done."""
    if dry:
        from pipeline.commands.dry import prospects, tell

        tell(prospects(targets or []), as_json=as_json)
        return
    if as_json:
        raise UserError("--json is for what --dry prints: give both, or neither")
    if on is not None:
        from pipeline.commands.repro_on import connection, repro_on

        raise typer.Exit(repro_on(connection(on), targets or [], jobs))
    from pipeline.commands.repro import repro

    raise typer.Exit(repro(targets or [], jobs))


@app.command()
def status(as_json: AsJson = False) -> None:
    """Every node: trained, carried, stale or in progress, its accuracy, its teacher."""
    from pipeline.commands import status
    from pipeline.lineage.results import show

    show(status.lines(), as_json=as_json)


@app.command()
def watch(
    curves: Annotated[bool, typer.Option("--curves", help="Draw loss and validation of what is trained, too.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Look once; also what happens where nobody looks on.")] = False,
    as_json: AsJson = False,
) -> None:
    """What runs now, here and in queued experiments: how far it is, how fast, and how long it will take."""
    import sys
    import time

    from pipeline.commands import watch
    from pipeline.console.events import running
    from pipeline.console.progress import log
    from pipeline.dvc.training_state import state_root
    from pipeline.lineage.results import show

    root = state_root()
    if sys.stdout.isatty() and not (once or as_json):
        watch.follow(root, lambda found: watch.screen(found, curves))
        return
    found = running(root)
    if not found and not as_json:
        log(watch.NOTHING)
    elif found:
        show(watch.table(found, time.time()), as_json=as_json)
    for line in watch.curves(found) if curves else ():
        log(line)


@app.command()
def tree(as_json: AsJson = False) -> None:
    """The lineage as a tree: who taught whom, what each reached, which slots only stand for another."""
    from pipeline.commands import tree
    from pipeline.commands.status import standings
    from pipeline.console.terminal import uncut
    from pipeline.lineage.results import show

    found = standings()
    if as_json:
        show(tree.lines(found), as_json=True)
    else:
        uncut(tree.tree(found))


@app.command()
def summary(
    measured: Annotated[
        list[Path] | None, typer.Option(help="What check.py printed where the file is to run; can be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The table of what has run: each network, who taught it, what it reached, what it cost; and what is missing."""
    from pipeline.commands.summary import gather
    from pipeline.console.progress import warn
    from pipeline.lineage.results import show

    found = gather(measured or [])
    for cells in found.tables:
        show(cells, as_json=as_json)
    if found.missing:
        warn(f"not made yet: {', '.join(found.missing)}; `dvc repro` makes what is missing")


@app.command()
def layers(node: Annotated[str, typer.Argument(help="As in `python -m pipeline status`.")]) -> None:
    """The layers of a network that methods on features can compare: names for `layers` in params.yaml, and shapes."""
    from pipeline.commands.layers import lines
    from pipeline.lineage.results import show

    show(lines(node))


@app.command()
def compare(
    experiments: Annotated[
        list[str] | None, typer.Argument(help="Names, as in `dvc exp list`; all without. x stands for its seeds, too.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Experiments side by side: parameters that differ, figures that changed, stages that they share."""
    from pipeline.commands import compare
    from pipeline.console.progress import log
    from pipeline.lineage.results import show

    shown = compare.columns(experiments or [])
    changed, same = compare.changes(shown)
    for cells in (compare.parameters(shown), changed):
        if cells[1:]:
            show(cells, as_json=as_json)
    for sentence in (
        ()
        if as_json
        else [
            *([f"the same in all: {', '.join(compare.alike(same))}"] if same else []),
            *compare.sharing(shown),
        ]
    ):
        log(sentence)


@app.command()
def seeds(
    count: Annotated[int, typer.Option(min=2, help="How many seeds, from that of params.yaml on.")] = 5,
    set_param: Annotated[
        list[str] | None, typer.Option("-S", "--set-param", help="key=value, as of `dvc exp run`; can be repeated.")
    ] = None,
    vary: Annotated[list[str] | None, typer.Option(help="train (if not given), data, views; can be repeated.")] = None,
    name: Annotated[str, typer.Option(help="How the experiments' names begin.")] = "seeds",
    jobs: Jobs = None,
    on: On = None,
    queue: Annotated[bool, typer.Option(help="Queue them only.")] = False,
    out: Annotated[Path | None, typer.Option(help="JSON file to write; the table goes beside it as Markdown.")] = None,
) -> None:
    """The same experiment over seeds: mean, deviation, paired differences to the baseline."""
    from pipeline.base import files
    from pipeline.commands import seeds
    from pipeline.lineage.results import markdown, show

    found = seeds.run(seeds.names(count, set_param or [], vary or ["train"], name), jobs, queue, on)
    if not found:
        return
    cells = seeds.lines(found)
    if out is not None:
        files.write_json(out, seeds.as_json(found))
        files.write_text(out.with_suffix(".md"), markdown(cells))
    show(cells)


@app.command()
def queue(
    names: Annotated[
        list[str] | None, typer.Argument(help="Experiments that wait in DVC's queue; all without.")
    ] = None,
    jobs: Jobs = None,
    on: On = None,
) -> None:
    """Run what waits in DVC's queue to its end; on a cluster, too."""
    from pipeline.commands import queue

    raise typer.Exit(queue.run(names or [], jobs, on))


@app.command()
def study(
    out: Annotated[Path, typer.Option(help="JSON file to write; the table goes beside it as Markdown.")],
    methods: Annotated[str, typer.Option(help="Names, comma-separated; all of params.yaml without.")] = "",
    seeds: Annotated[int, typer.Option(min=2, help="How many seeds to report.")] = 5,
) -> None:
    """All methods over seeds: weights tuned on validation, paired differences to hard labels on test."""
    from pipeline.base import files
    from pipeline.commands import study
    from pipeline.config import params
    from pipeline.lineage.results import markdown, show
    from pipeline.planning import graph
    from pipeline.planning.build import build

    read = params.read(Path("params.yaml"))
    specs = build(read, graph.read(Path("dvc.yaml")))
    comparable = study.comparable(specs)
    names = methods.split(",") if methods else [name for name in read.method if name in comparable]
    arms = study.compare(specs, names, range(seeds))
    cells = study.table(arms)
    files.write_json(out, study.as_json(arms))
    files.write_text(out.with_suffix(".md"), markdown(cells))
    show(cells)


@app.command()
def orders(
    chains: Annotated[list[str], typer.Argument(help="Steps of params.yaml joined by commas: distil,prune,tune.")],
    out: Annotated[Path, typer.Option(help="JSON file to write; the table goes beside it as Markdown.")],
    seeds: Annotated[int, typer.Option(min=2, help="How many seeds.")] = 5,
) -> None:
    """Orders of compression steps over seeds: what each ends in, paired differences to the first."""
    from pipeline.base import files
    from pipeline.commands import orders
    from pipeline.config import params
    from pipeline.lineage.results import markdown, show
    from pipeline.planning import graph

    read, stages = params.read(Path("params.yaml")), graph.read(Path("dvc.yaml"))
    found = orders.compare(read, stages, chains, range(seeds))
    cells = orders.table(found)
    files.write_json(out, orders.as_json(found))
    files.write_text(out.with_suffix(".md"), markdown(cells))
    show(cells)


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files, and folders of them.")],
    model: Annotated[
        Path | None,
        typer.Option(help="An .onnx file; without, the one that the last run ships.", callback=check_file),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Classify image files by the exported model alone: path, class and probability, tab-separated.

    A file that was exported with `abstain` has one cell more: sure or unsure, by what it promises.

    In paths and classes a tab is written \\t, a line break \\n or \\r, a backslash \\\\, what is not seen \\x1b.
    """
    from pipeline.commands.predict import classify, opened, tell

    if tell(classify(opened(model), images), as_json=as_json):
        raise typer.Exit(1)


@app.command()
def flips(
    first: Annotated[str, typer.Argument(help="A node, as in `python -m pipeline status`, or an .onnx file.")],
    second: Annotated[str, typer.Argument(help="Another one.")],
    split: Annotated[str, typer.Option(help="Of which images: validation or test.")] = "validation",
    max_drop: Annotated[
        float | None, typer.Option(help="A share, such as 0.01: exit with 1 unless no more is lost, proven at 95 %.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="A page to write, with the pictures.")] = None,
    as_json: AsJson = False,
) -> None:
    """Which images two networks answer differently: won and lost, by class, and what that says of other images."""
    from pipeline.commands import flips
    from pipeline.console.progress import emit, log
    from pipeline.console.text import json_line
    from pipeline.lineage.results import show

    found = flips.compare(first, second, split)
    if as_json:
        emit(json_line(flips.figures(found)))
        show(flips.images(found), as_json=True)
    else:
        for sentence in flips.summary(found):
            log(sentence)
        show(flips.by_class(found))
    if html:
        flips.write(found, html)
        log(f"flips: open {html} in a browser")
    if max_drop is not None:
        log(flips.gate(found, max_drop))


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


if __name__ == "__main__":
    run(app)
