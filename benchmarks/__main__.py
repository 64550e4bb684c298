"""`python -m benchmarks <name>`: what this pipeline costs beside what it could cost, as ratios in one run."""

import importlib
import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.console.errors import run

NAMES = {
    "stored": "Training from stored soft labels against plain supervised training.",
    "live": "Training under a live teacher against the sum of its parts.",
    "others": "torchdistill and timm, with the same networks and images, against ours.",
    "loop": "Our training loop against twenty lines by hand.",
    "feeding": "The share of an epoch that is fetching, augmenting and reading labels.",
    "feed": "Photographs at 224 from the store against torch's DataLoader and timm's loader on the same files.",
    "job": "From photographs of a phone to a student, whole: ours against timm's distillation of the same networks.",
    "predict": "Classifying files by a shipped file against onnxruntime fed by Pillow in a plain loop.",
    "topk": "The top-k label store against the dense one: bytes, and accuracy of a student.",
    "reads": "Reading a batch of labels against a raw memory map and against a file a sample.",
    "labelling": "Writing the labels of all views against the bare forward passes.",
    "graph": "The whole default graph against the sum of its training; what commands take when nothing is due.",
    "driver": "What the driver of `repro --on` spends on a stage, in a graph of 1,000 on 100 machines that only wait.",
    "cluster": "The default graph on two hosts that share a folder or S3 against one machine: seconds a stage, bytes.",
    "precision": "float32 against bfloat16, and what torch.compile saves of a step.",
    "layout": "Channels last against images as torch lays them out, in float32.",
    "together": "Several small students as one grouped network against one after the other.",
    "saving": "How long a training stands still for a saved state, against the whole of writing it.",
    "size": "Images a second and memory against the number of images.",
}

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
Out = Annotated[Path | None, typer.Option(help="JSON file to write, too.")]
Tiny = Annotated[bool, typer.Option(help="So small that it only shows that it runs: its figures mean nothing.")]


def _command(name: str) -> Callable[..., None]:
    def command(out: Out = None, tiny: Tiny = False) -> None:
        from pipeline.base.files import write_json

        figures = measured(name, tiny)
        if out is not None:
            write_json(out, figures)

    return command


def measured(name: str, tiny: bool) -> dict[str, Any]:
    """The figures of a benchmark, which are printed, and what they were measured on."""
    from benchmarks.measure import lines
    from pipeline.lineage.results import show

    with tempfile.TemporaryDirectory() as folder:
        figures = importlib.import_module(f"benchmarks.{name}").measure(Path(folder), tiny)
    show(lines(figures))
    return {"benchmark": name, "machine": machine(), "figures": [asdict(each) for each in figures]}


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how many others computed there as it ended."""
    import torch

    return {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "load": os.getloadavg()[0],
    }


for _name, _help in NAMES.items():
    app.command(_name, help=_help)(_command(_name))

Kept = Annotated[Path, typer.Option(help="JSON file to write as it goes; what it holds is not run again.")]


@app.command("all")
def every(out: Kept = Path("performance.json"), tiny: Tiny = False) -> None:
    """All of the above, one after the other; one that lacks a library is named and left out."""
    from pipeline.base.errors import UserError
    from pipeline.base.files import read_json, write_json
    from pipeline.console.progress import log

    whole: list[dict[str, Any]] = read_json(out) if out.exists() else []
    for name in NAMES:
        if any(each["benchmark"] == name for each in whole):
            continue
        try:
            whole.append(measured(name, tiny))
        except UserError as error:
            log(f"{name} is left out: {error}")
        else:
            write_json(out, whole)


Budget = Annotated[float, typer.Option(help="Seconds after which no other check begins.")]
Only = Annotated[str | None, typer.Option(help="`right`, `fast`, or the name of one part.")]
Images = Annotated[Path | None, typer.Option(help="CIFAR-10 as an image folder: `train/<class>/*.jpg` and `test`.")]
Small = Annotated[bool, typer.Option(help="So small that it only shows that it runs: its figures mean nothing.")]
Json = Annotated[Path, typer.Option(help="JSON file to write; the table goes beside it.")]


@app.command()
def gpu(
    budget: Budget = 240.0, only: Only = None, data: Images = None, out: Json = Path("gpu.json"), small: Small = False
) -> None:
    """Whether all that trains is right and fast on this machine's GPU; exit status 1 where something is wrong."""
    from benchmarks.gpu.runner import check

    if not check(out, budget, only, data, small, machine()):
        raise typer.Exit(1)


@app.command()
def gradients(out: Out = None, tiny: Tiny = False) -> None:
    """How strong each method pulls as training starts: its gradient over that of cross entropy."""
    from benchmarks.gradients import measure, tables
    from pipeline.base.files import write_json
    from pipeline.lineage.results import show

    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Path(folder), tiny)
    for table in tables(measured).values():
        show(table)
    if out is not None:
        write_json(out, asdict(measured))


TABLES = {
    "weights": "What default weights are worth on digits: each method over hard labels, at today's and the one before.",
    "norms": "BatchNorm's statistics in short trainings: as torch builds a network, and by either remedy.",
    "unequal": "Classes of unequal size, on digits: balanced sampling, and weights of classes, beside neither.",
}


def _table(name: str) -> Callable[..., None]:
    def command(out: Out = None, tiny: Tiny = False) -> None:
        from pipeline.base.files import write_json
        from pipeline.lineage.results import show

        def keep(reached: Any) -> None:
            if out is not None:
                write_json(out, reached)

        module = importlib.import_module(f"benchmarks.{name}")
        with tempfile.TemporaryDirectory() as folder:
            cells = module.table(module.measure(Path(folder), tiny, keep))
        show(cells)

    return command


for _name, _help in TABLES.items():
    app.command(_name, help=_help)(_table(_name))


@app.command()
def unlabelled(out: Out = None, tiny: Tiny = False) -> None:
    """Images without a label, on digits: a student taught on all images, beside the few that have one."""
    from benchmarks.unlabelled import Reached, measure, table
    from pipeline.base.files import write_json
    from pipeline.lineage.results import show

    def keep(reached: Reached) -> None:
        if out is not None:
            write_json(out, reached)

    with tempfile.TemporaryDirectory() as folder:
        cells = table(measure(Path(folder), tiny, keep))
    show(cells)


Seeds = Annotated[int, typer.Option(help="Seeds in all, those that the file holds included.")]
Root = Annotated[Path, typer.Option(help="Folder that holds Fashion-MNIST as torchvision lays it out.")]


@app.command()
def streams(out: Kept = Path("streams.json"), data: Root = Path("data"), seeds: Seeds = 10, tiny: Tiny = False) -> None:
    """What a chain loses where an assistant labels the very views that it was trained on."""
    from benchmarks.streams import measure
    from pipeline.console.progress import log

    found = measure(out, data, seeds, tiny, log)["figures"]
    for name, each in found.items():
        if name != "means":
            low, high = each["interval"] or (float("nan"), float("nan"))
            log(f"{name}: {each['mean']:+.2f} [{low:+.2f}, {high:+.2f}] points, {each['count']} seeds")


Photographs = Annotated[int, typer.Option(help="Photographs, which are made.")]
Where = Annotated[Path | None, typer.Option(help="Folder to make them in, and to find them again; a temporary one.")]

Edge = Annotated[int, typer.Option(help="data.size; photographs are larger by as much as 500×375 is than 224.", min=8)]


@app.command()
def store(
    count: Photographs = 300_000,
    edge: Edge = 224,
    out: Kept = Path("store.json"),
    folder: Where = None,
    tiny: Tiny = False,
) -> None:
    """The store of encoded photographs: seconds, memory, disk, one photograph more, experiments, a second clone."""
    from benchmarks.store import EDGE, SIZE, measure, table
    from pipeline.console.progress import log
    from pipeline.lineage.results import show

    with tempfile.TemporaryDirectory() as temporary:
        where = folder or Path(temporary)
        width, height = (120, 90) if tiny else (round(each * edge / EDGE) for each in SIZE)
        show(table(measure(out, where.resolve(), 60 if tiny else count, log, (width, height), edge)))


Runs = Annotated[int, typer.Option(help="Changes in all, those that the file holds included.", min=1)]
Made = Annotated[Path, typer.Option(help="Folder that the repository is made in.")]


@app.command()
def forecast(work: Made, out: Kept = Path("forecast.json"), runs: Runs = 10, tiny: Tiny = False) -> None:
    """What `repro --dry` tells of random changes in the default graph against what `dvc repro` then does."""
    from benchmarks.forecast import measure, table
    from pipeline.console.progress import log
    from pipeline.lineage.results import show

    show(table(measure(out, work.resolve(), runs, log, tiny)))


Names = Annotated[list[str] | None, typer.Argument(help="Networks of timm; those of `benchmarks/zoo.py` without.")]
Limit = Annotated[float, typer.Option(help="Seconds that one network may take.")]


@app.command()
def zoo(names: Names = None, out: Kept = Path("zoo.json"), limit: Limit = 600.0) -> None:
    """timm's networks of many families: built, layers found, trained for a step, resumed, exported to ONNX."""
    from benchmarks.zoo import NAMES, failed, measure, table
    from pipeline.console.progress import log
    from pipeline.lineage.results import show

    networks = measure(out, names or NAMES, limit, log)["networks"]
    show(table(networks))
    whole = [name for name, found in networks.items() if not failed(found)]
    log(f"{len(whole)} of {len(networks)} came through")


@app.command()
def smaller(names: Names = None, out: Kept = Path("smaller.json"), limit: Limit = 900.0) -> None:
    """timm's networks of many families pruned, factorised and quantised: what runs, how small and how fast it is."""
    from benchmarks.apart import failed
    from benchmarks.smaller import NAMES, Smaller, measure, table
    from pipeline.console.progress import log
    from pipeline.lineage.results import show

    networks = measure(out, names or NAMES, limit, log)["networks"]
    show(table(networks))
    for name, found in sorted(networks.items()):
        for step, why in failed(Smaller, found).items():
            log(f"{name}, {step}: {why}")


Folder = Annotated[Path, typer.Option("--data", help="Image folder with train/<class> and test/<class>.")]
Weights = Annotated[Path, typer.Option(help="EfficientNet-Lite0's ImageNet weights under timm's names, safetensors.")]
Work = Annotated[Path, typer.Option(help="Folder for images and a repository, which a run that was killed goes on in.")]


@app.command()
def pretrained(
    data: Folder,
    weights: Weights,
    work: Work,
    out: Kept = Path("pretrained.json"),
    seeds: Seeds = 5,
    tiny: Tiny = False,
) -> None:
    """A pretrained network on photographs: probed, fine-tuned, and as the teacher of a small one."""
    from benchmarks.pretrained import measure, table
    from pipeline.console.progress import log
    from pipeline.lineage.results import show

    show(table(measure(out, data, weights, work, seeds, tiny, log)))


Jobs = Annotated[int, typer.Option(help="Trainings beside each other.", min=1)]
Epochs = Annotated[int | None, typer.Option(help="Of each student.", min=1)]


@app.command()
def augmented(
    data: Folder,
    weights: Weights,
    work: Work,
    out: Kept = Path("augmented.json"),
    seeds: Seeds = 5,
    epochs: Epochs = None,
    jobs: Jobs = 1,
    tiny: Tiny = False,
) -> None:
    """What augmentation does for a student of stored labels and of hard ones, on photographs."""
    from benchmarks.augmented import TINY, Setting, measure, table
    from pipeline.console.progress import log
    from pipeline.lineage.results import show

    setting = TINY if tiny else Setting()
    setting = replace(setting, student=epochs or setting.student)
    show(table(measure(out, data, weights, work, setting, seeds, jobs, tiny, log)))


@app.command()
def ways(data: Folder, weights: Weights, work: Work, out: Kept = Path("ways.json"), tiny: Tiny = False) -> None:
    """The same teacher by each way into the graph: a file, a checkpoint, an own module, ONNX, answers."""
    from benchmarks.ways import measure, table
    from pipeline.console.progress import log
    from pipeline.lineage.results import show

    show(table(measure(out, data, weights, work, tiny, log)))


Clothes = Annotated[Path | None, typer.Option(help="Folder that holds Fashion-MNIST as torchvision lays it out.")]
Begun = Annotated[Path | None, typer.Option(help="EfficientNet-Lite0's ImageNet weights under timm's names.")]


@app.command()
def calibrated(
    work: Work,
    fashion: Clothes = None,
    data: Images = None,
    weights: Begun = None,
    out: Kept = Path("calibrated.json"),
    tiny: Tiny = False,
) -> None:
    """Temperatures of files that ship, what may be answered, what is lost: digits, Fashion-MNIST, CIFAR-10."""
    from benchmarks.calibrated import measure, table
    from pipeline.console.progress import log
    from pipeline.lineage.results import show

    show(table(measure(out, work, fashion, data, weights, tiny, log)))


@app.command()
def runtimes(
    data: Folder,
    weights: Weights,
    work: Work,
    out: Kept = Path("runtimes.json"),
    litert: Annotated[str | None, typer.Option(help="Interpreter in which litert-torch is installed.")] = None,
    tiny: Tiny = False,
) -> None:
    """What a fine-tuned and a distilled network lose in each runtime, float and int8: CIFAR-10 at 96 pixels."""
    from benchmarks.runtimes import measure, table
    from pipeline.console.progress import log
    from pipeline.lineage.results import show

    show(table(measure(out, data, weights, work, litert, tiny, log)))


Photos = Annotated[Path, typer.Option(help="An image folder of photographs.")]


@app.command()
def lowrank(
    data: Folder, photographs: Photos, weights: Weights, work: Work, out: Out = None, tiny: Tiny = False
) -> None:
    """What forms of stored labels lose of real logits: dense, top-k, low-rank; by bytes a row."""
    from benchmarks.lowrank import measure, table
    from pipeline.console.progress import log
    from pipeline.lineage.results import show

    show(table(measure(out or work / "lowrank.json", data, photographs, weights, work, tiny, log)))


Rows = Annotated[int, typer.Option(help="Training images whose labels are written, in three views of 1,000 classes.")]


@app.command()
def labels(rows: Rows = 200_000, out: Out = None, folder: Where = None) -> None:
    """Soft labels of many rows: seconds and memory of writing, going on, hashing, reading, combining."""
    from benchmarks.labels import measure, table
    from pipeline.console.progress import log
    from pipeline.lineage.results import show

    with tempfile.TemporaryDirectory() as temporary:
        where = folder or Path(temporary)
        show(table(measure(out or Path(temporary) / "labels.json", where, rows, log)))


if __name__ == "__main__":
    run(app)
