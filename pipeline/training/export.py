"""From a trained network to a node: weights, labels, predictions, numbers, curve."""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.config.input import Input
from pipeline.config.select import metric_of
from pipeline.data.batches import Pixels
from pipeline.data.pictures import clean
from pipeline.data.prepared import Prepared
from pipeline.data.streams import to_label
from pipeline.evaluation import cost
from pipeline.evaluation.metrics import against, scores
from pipeline.labels.labeller import evaluation_batch, predict
from pipeline.lineage import node
from pipeline.lineage.node import CURVE_COLUMNS, Node
from pipeline.lineage.predictions import read_predictions, write_predictions
from pipeline.models.files import save_weights
from pipeline.models.libraries import versions
from pipeline.models.shown import Shown
from pipeline.planning.specs.training import NetworkSpec, TrainSpec
from pipeline.training import hardware
from pipeline.training.answers import made_by
from pipeline.training.device import Device
from pipeline.training.inputs import supplied
from pipeline.training.labelling import write_labels
from pipeline.training.replay import replayed

ChainFigures = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Result:
    """A network and how it came to be.

    Attributes:
        trained_on: The streams of views that its weights were trained on.
        adapters: Parameters that learned with it and are left behind.
        batch_norm: As of `Node`.
        balanced: The weights that `balance` found.
        input: What it is fed; None where that is what the data has.
        epochs: As of `Node`.
        began_with: As of `Node`.
    """

    status: Literal["trained", "imported", "computed"]
    model: nn.Module
    lineage: tuple[dict[str, str], ...]
    rows: list[dict[str, Any]]
    seconds: float
    trained_on: tuple[str, ...] = ()
    adapters: int = 0
    batch_norm: dict[str, Any] | None = None
    save: Callable[[nn.Module, Path], None] = save_weights
    balanced: dict[str, float] | None = None
    input: Input | None = None
    epochs: dict[str, int] | None = None
    began_with: str | None = None


def export(spec: TrainSpec, data: Prepared, device: Device, result: Result) -> None:
    """Write the node, its metrics and its curve.

    Raises:
        UserError: A logit is not finite.
    """
    assert spec.training.architecture is not None
    with node.writing(spec.node) as folder:
        metrics = fill(folder, spec, spec.training.architecture, data, device, result)
    node.write_numbers(spec.node, metrics, curve(result.rows))


def export_peers(spec: TrainSpec, data: Prepared, device: Device, results: list[Result]) -> None:
    """Write the members of a mutual training, each a whole node, below the node that carries one of them."""
    name = spec.node
    numbers = {}
    with node.writing(name) as folder:
        for k, (member, result) in enumerate(zip(spec.training.members or (), results, strict=True), start=1):
            own = replace(spec, node=f"{name}/members/{k}")
            (folder / "members" / str(k)).mkdir(parents=True)
            metrics = fill(folder / "members" / str(k), own, member.architecture, data, device, result)
            numbers[own.node] = metrics, curve(result.rows)
        picked = f"{name}/members/{spec.carries}"
        node.write(folder, node.pointer(name, node.read_at(folder / "members" / str(spec.carries))))
    try:
        for member, (metrics, rows) in numbers.items():
            node.write_numbers(member, metrics, rows)
    except BaseException:
        node.discard(name)  # with its other members, which are whole, and the numbers that some have
        raise
    node.write_pointer_numbers(name, picked)


def fill(
    folder: Path,
    spec: NetworkSpec,
    architecture: dict[str, Any],
    data: Prepared,
    device: Device,
    result: Result,
    beside: Node | None = None,
) -> dict[str, Any]:
    """Write a node into its folder; return its metrics, those of nearness to `beside` or else to its only teacher.

    A network without trained logits (only its lower part was trained) has weights and features alone.
    """
    model = result.model.eval()
    result.save(model, folder / "model.safetensors")
    hashes = {"weights": files.sha256(folder / "model.safetensors")}
    metrics: dict[str, Any] = {
        "status": result.status,
        "parameters": cost.parameters(model),
        "adapter_parameters": result.adapters,
        "flops": cost.flops(model, data.channels, supplied(data, result.input)["size"]),
        "bytes": cost.file_bytes(folder / "model.safetensors"),
        "cost": {"training_seconds": round(result.seconds, 2)},
    }
    if result.epochs:
        metrics["epochs"] = result.epochs
    chain: ChainFigures = ()
    if spec.has_logits:
        inference = Inference(device, model, data, result.input, versions([architecture]))
        logits = {split: inference.predict(split) for split in ("validation", "test")}
        hashes["predictions"] = write_predictions(folder, logits)
        stream = to_label(result.trained_on)
        hashes["labels"] = inference.label(spec, architecture, folder / "labels", hashes["weights"], stream)
        metrics |= numbers(data, logits, beside or _teacher(result.lineage))
        # Named, since times on a card and on a CPU do not compare.
        metrics["cost"] |= {"latency_ms": round(inference.latency_ms(), 4), "timed_on": device.name}
        chain = ((spec.node, metrics["validation"][metric_of(spec.select).name]),)
    metrics["cost"] |= hardware.peak(device.where)
    node.write(folder, _node(spec, architecture, data, device, result, hashes, chain))
    return metrics


class Inference:
    """A trained network in use: on clean images, and on views."""

    def __init__(
        self,
        device: Device,
        model: nn.Module,
        data: Prepared,
        input: Input | None = None,
        libraries: Mapping[str, str] | None = None,
    ) -> None:
        self.device = device
        self.data = data
        self.model = model
        self.input = input
        self.libraries = dict(libraries or {})
        self.shown = Shown([input], data.mean, data.std, device.where, data.rendering(None))
        self.forward = device.forward(model, self.shown.to(input))
        self.passes = replayed(self.forward, device.where, "a forward pass")

    def _pixels(self, split: str) -> Pixels:
        images = clean(getattr(self.data, split).images, self.data.rendering(self.input))
        return Pixels(images, self.device.where, self.device.room())

    def predict(self, split: str) -> Tensor:
        """Logits on the clean images of a split, on the CPU."""
        shown = self.shown
        size = evaluation_batch(self.model, self.data.channels, supplied(self.data, self.input)["size"])
        return predict(self.passes, self._pixels(split), shown.mean_C, shown.std_C, batch_size=size).cpu()

    def label(self, spec: NetworkSpec, architecture: dict[str, Any], folder: Path, weights: str, stream: str) -> str:
        """Write the label set that the spec asks for, or what is left of it, of that stream; return its hash."""
        made = [weights, architecture, *([self.input.as_json()] if self.input else [])]
        return write_labels(
            spec,
            stream,
            folder,
            self.passes,
            self.data,
            self.device,
            self.device.compute_type,
            made,
            weights,
            self.shown,
            self.input,
            self.libraries,
        )

    def latency_ms(self) -> float:
        """Milliseconds for one image of its own size."""
        size = supplied(self.data, self.input)["size"]
        x_1CHW = torch.zeros(1, self.data.channels, size, size, device=self.device.where)
        return cost.latency_ms(self.device.forward(self.model), x_1CHW)


def _node(
    spec: NetworkSpec,
    architecture: dict[str, Any],
    data: Prepared,
    device: Device,
    result: Result,
    hashes: dict[str, str],
    chain: ChainFigures,
) -> Node:
    built = {**architecture, **supplied(data, result.input)}
    return Node(
        name=spec.node,
        status=result.status,
        provides=("features", *hashes),
        format="safetensors",
        architecture=built,
        lineage=result.lineage,
        chain=(*_chain_before(spec, built, result.input), *chain),
        hashes=hashes,
        balanced=result.balanced or None,
        batch_norm=result.batch_norm,
        epochs=result.epochs,
        trained_on=result.trained_on,
        labels_stream=to_label(result.trained_on),
        input=result.input,
        made_by=made_by(architecture, device),
        began_with=result.began_with,
        select=spec.select,
    )


def _chain_before(spec: NetworkSpec, built: dict[str, Any], input: Input | None) -> ChainFigures:
    """The chain that this node continues: for a first slot, its start where that is the same network."""
    if spec.previous is None:
        return ()
    previous = node.read(spec.previous)
    if spec.continues_chain:
        return previous.chain
    return previous.chain[-1:] if (previous.architecture, previous.input) == (built, input) else ()


def _teacher(lineage: tuple[dict[str, str], ...]) -> Node | None:
    """The node that this one learned from, where there is exactly one."""
    teachers = [item["teacher"] for item in lineage if item["read"] in ("labels", "weights")]
    return node.read(teachers[0]) if len(teachers) == 1 else None


def numbers(data: Prepared, logits: dict[str, Tensor], teacher: Node | None) -> dict[str, Any]:
    """Scores on validation and test, and nearness to the teacher on test where there is one.

    Raises:
        UserError: The logits of a split, or of the teacher, are not one a class of each image.
    """
    found: dict[str, Any] = {}
    for split, z_NC in logits.items():
        _check_shape(z_NC, data, split, "the network")
        found[split] = scores(z_NC, torch.from_numpy(getattr(data, split).labels.copy()))
    if teacher is not None:
        t_NC = read_predictions(teacher)["test"]
        _check_shape(t_NC, data, "test", f"{teacher.predictions}, which {teacher.source} left,")
        found["teacher"] = against(logits["test"], t_NC)
    return found


def _check_shape(z_NC: Tensor, data: Prepared, split: str, whose: str) -> None:
    count, classes = len(getattr(data, split)), len(data.classes)
    if z_NC.shape != (count, classes):
        raise UserError(
            f"{whose} answers the {count} {split} images of {classes} classes with logits of shape "
            f"{tuple(z_NC.shape)}: one logit a class of each image is needed"
        )


def curve(rows: list[dict[str, Any]]) -> str:
    """One CSV line an epoch; the header only where nothing was trained."""
    columns = list(rows[0]) if rows else list(CURVE_COLUMNS)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
