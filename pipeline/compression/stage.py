"""One step of the compress chain: do it, then measure what came of it, against the teacher in the same run."""

import importlib
from pathlib import Path
from typing import Any

import torch

from pipeline.base.files import sha256, write_text
from pipeline.base.paths import DATA
from pipeline.compression import costs
from pipeline.compression.model_card import model_card
from pipeline.compression.work import ChangedNetwork, ShippedFile, Work, lineage
from pipeline.config.select import metric_of
from pipeline.config.views import Views
from pipeline.console.progress import log
from pipeline.data import left_out, prepared
from pipeline.evaluation import cost
from pipeline.lineage import node
from pipeline.lineage.node import EMPTY_CURVE, FLOAT, Node
from pipeline.lineage.predictions import read_predictions, write_predictions
from pipeline.models.build import rebuild
from pipeline.planning.specs.compress import ComputeStepSpec, StepSpec
from pipeline.planning.specs.machine import read_machine
from pipeline.training import hardware
from pipeline.training.device import choose
from pipeline.training.export import curve, fill, numbers

SPLITS = ("validation", "test")


def run(spec: StepSpec) -> None:
    """Do the step that `spec` describes and write its node.

    Raises:
        UserError: The step cannot be done on this network; data, weights or labels are missing or damaged.
        Stopped: A signal asked to stop; progress of a training is saved.
    """
    data = prepared.read(DATA)
    device = choose(read_machine(), spec.forward.precision)
    work = Work(spec, data, device, Views(**spec.forward.views), node.read(spec.previous))
    # By name, so that a step depends on the code of its own kind only.
    made = importlib.import_module(f"pipeline.compression.steps.{spec.kind}").run(work, **work.settings)
    name, teacher = spec.node, node.read("teacher")
    with node.writing(name) as folder:
        if isinstance(made, ChangedNetwork):
            metrics = _network(folder, work, made, teacher)
            rows = curve(made.result.rows)
        else:
            metrics = _file(folder, work, made, teacher)
            rows = EMPTY_CURVE
        metrics["cost"]["peak_memory_bytes"] = costs.peak_memory(folder)
    node.write_numbers(name, metrics, rows)
    timed, on = metrics["cost"]["latency"]["batch_1"], metrics["cost"]["timed_on"]
    speed = f"{timed['ms']:.3f} ms an image on {on}"
    if "ratio" in timed:
        speed = f"{timed['ratio']:.1f} times as fast as the teacher on {on}"
    log(
        f"{name}: {spec.step}, validation {100 * metrics['validation']['accuracy']:.1f} %, "
        f"{metrics['bytes']:,} bytes, {speed}"
    )


def _network(folder: Path, work: Work, made: ChangedNetwork, teacher: Node) -> dict[str, Any]:
    metrics = fill(folder, work.spec, made.architecture, work.data, work.device, made.result, teacher)
    written = folder / "model.safetensors"
    metrics |= _of_step(work, made.report, written)
    metrics["nonzeros"] = costs.nonzeros(weight for weight in made.result.model.parameters() if weight.ndim > 1)
    metrics["cost"]["latency"] = costs.of_network(made.result.model, made.result.input, teacher, work.data, work.device)
    metrics["cost"]["timed_on"] = work.device.name
    return metrics


def _file(folder: Path, work: Work, made: ShippedFile, teacher: Node) -> dict[str, Any]:
    """A file answers for itself, in its own runtime: all of its figures are of that."""
    from pipeline.compression.examples import write_examples
    from pipeline.compression.onnx_file import add_probabilities, least_runtime
    from pipeline.compression.promise import promised
    from pipeline.compression.runtime import Runtime

    spec, data, previous = work.spec, work.data, work.previous
    report = made.write(folder)
    path = folder / "model.onnx"
    threads = read_machine().threads
    runtime = Runtime(path, threads=threads)
    logits = {split: torch.from_numpy(runtime.logits(work.images(split))) for split in SPLITS}
    found = numbers(data, logits, teacher)
    card = work.card
    if made.asked:
        card, found["promises"] = promised(made.asked, card, logits, read_predictions(teacher), data)
        add_probabilities(path, card)
        runtime = Runtime(path, threads=threads)
    ships: dict[str, Any] = {}
    spent: dict[str, float] = {}
    if made.formats:
        from pipeline.compression.formats.original import Original
        from pipeline.compression.formats.rows import write_formats
        from pipeline.compression.pixels_in import write_with_pixels

        write_with_pixels(path)
        original = Original(path, card, made.network, made.litert)
        images = {split: work.images(split) for split in SPLITS}
        rows, spent = write_formats(folder, made.formats, original, runtime, images, logits, data.test.labels, threads)
        ships = {"runtimes": rows}
    if made.keeps_float:
        node.keep_weights(previous, folder, f"{spec.node}/{FLOAT}")
    if made.examples:
        write_examples(folder, runtime, work.images("test"), made.examples)
    hashes = {"weights": sha256(path), "predictions": write_predictions(folder, logits)}
    assert previous.architecture is not None
    on_grids = "grids" in previous.architecture
    network = made.network() if made.network and not on_grids else rebuild(previous.architecture)
    metrics = {
        "status": "computed",
        "parameters": cost.parameters(network),
        "flops": cost.flops(network, **work.of_images),
        "bytes": cost.file_bytes(path),
        **found,
        **ships,
        **_of_step(work, report, path),
        "nonzeros": costs.nonzeros_of_file(path),
        "cost": {
            **({"runtimes_ms": spent} if spent else {}),
            "training_seconds": 0.0,
            "latency": costs.of_file(runtime, teacher, data, threads),
            "timed_on": costs.CPU.name,
            **hardware.peak(work.device.where),
        },
    }
    before = previous.chain if spec.continues_chain else previous.chain[-1:]
    chain = (*before, (spec.node, found["validation"][metric_of(spec.select).name]))
    node.write(
        folder,
        Node(
            spec.node,
            "computed",
            ("weights", "predictions"),
            format="onnx",
            architecture=previous.architecture,
            input=previous.input,
            lineage=lineage(previous),
            chain=chain,
            hashes=hashes,
            trained_on=previous.trained_on,
            select=spec.select,
        ),
    )
    if isinstance(spec, ComputeStepSpec) and spec.about:
        counts = {split: len(getattr(data, split)) for split in ("train", *SPLITS)}
        text = model_card(
            card,
            name=spec.node,
            counts=counts,
            unlabelled=data.train.unlabelled,
            left_out=left_out.sentences(DATA),
            examples=made.examples,
            chain=(*teacher.chain[-1:], *chain),
            lineage=lineage(previous),
            metrics={key: value for key, value in metrics.items() if key != "cost"},  # times differ from run to run
            runtime=least_runtime(path),
            metric=metric_of(spec.select),
            **spec.about,
        )
        write_text(folder / "MODEL_CARD.md", text)
    return metrics


def _of_step(work: Work, report: dict[str, Any], path: Path) -> dict[str, Any]:
    return {
        "step": work.spec.step,
        "kind": work.spec.kind,
        "report": report,
        "compressed_bytes": cost.compressed_bytes(path),
    }
