"""`python -m pipeline <command>`: look at the lineage, compare experiments, tidy up."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline import upkeep
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
    images: Annotated[
        list[Path] | None, typer.Argument(help="Image files, and folders of them.", show_default=False)
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="An .onnx file; without, the one that the last run ships.", callback=check_file),
    ] = None,
    test: Annotated[
        bool,
        typer.Option(
            "--test",
            help="Answer the files of the test images, and say how many answers are not as stored.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Classify image files by the exported model alone: path, class and probability, tab-separated.

    A file that was exported with `abstain` has one cell more: sure or unsure, by what it promises.

    In paths and classes a tab is written \\t, a line break \\n or \\r, a backslash \\\\, what is not seen \\x1b.
    """
    if test == bool(images):
        raise UserError("predict takes images, or --test in place of them")
    if test:
        from pipeline.commands.originals import compared
        from pipeline.console.progress import log

        for line in compared(model):
            log(line)
        return
    from pipeline.commands.predict import classify, opened, tell

    assert images
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


app.registered_commands += upkeep.app.registered_commands


if __name__ == "__main__":
    run(app)
