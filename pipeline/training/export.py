"""From a trained network to a node: weights, labels, predictions, numbers, curve."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pipeline import files, node
from pipeline.data.batches import Pixels
from pipeline.data.prepared import Prepared
from pipeline.evaluation import cost
from pipeline.evaluation.metrics import against, scores
from pipeline.labels.format import choose
from pipeline.labels.labeller import label, predict
from pipeline.models.files import save_weights
from pipeline.node import CURVE_COLUMNS, Node
from pipeline.predictions import read_predictions, write_predictions
from pipeline.sections.views import Views
from pipeline.training.device import Device
from pipeline.training.loop import RESIDENT_BYTES

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Result:
    """A network and how it came to be."""

    status: Literal["trained", "imported"]
    model: nn.Module
    lineage: tuple[dict[str, str], ...]
    rows: list[dict[str, Any]]
    seconds: float


def export(spec: dict[str, Any], data: Prepared, device: Device, result: Result) -> None:
    """Write the node, its metrics and its curve.

    Raises:
        UserError: The network's answers are not finite.
    """
    name = spec["node"]
    result.model.eval()
    speaker = Speaker(device, result.model, data)
    logits = {split: speaker.predict(split) for split in ("validation", "test")}
    metrics = numbers(data, logits, result.lineage)
    with node.writing(name) as folder:
        save_weights(result.model, folder / "model.safetensors")
        weights = files.sha256(folder / "model.safetensors")
        hashes = {
            "weights": weights,
            "predictions": write_predictions(folder, logits),
            "labels": speaker.label(spec, folder / "labels", weights),
        }
        node.write(folder, _node(spec, data, result, hashes, metrics["validation"]["accuracy"]))
        size = (folder / "model.safetensors").stat().st_size
    metrics |= {
        "status": result.status,
        "parameters": cost.parameters(result.model),
        "flops": cost.flops(result.model, data.channels, data.size),
        "bytes": size,
        "cost": {"training_seconds": round(result.seconds, 2), "latency_ms": round(speaker.latency_ms(), 4)},
    }
    node.write_numbers(name, metrics, curve(result.rows))


class Speaker:
    """A trained network that answers: on clean images, and on views."""

    def __init__(self, device: Device, model: nn.Module, data: Prepared) -> None:
        self.device = device
        self.data = data
        self.forward = device.forward(model)

    def _pixels(self, split: str) -> Pixels:
        return Pixels(getattr(self.data, split).images, self.device.where, RESIDENT_BYTES)

    def predict(self, split: str) -> Tensor:
        """Logits on the clean images of a split, on the CPU."""
        mean_C, std_C = (torch.tensor(each, device=self.device.where) for each in (self.data.mean, self.data.std))
        return predict(self.forward, self._pixels(split), mean_C, std_C, batch_size=EVALUATION_BATCH).cpu()

    def label(self, spec: dict[str, Any], folder: Path, weights: str) -> str:
        """Write the label set that the spec asks for; return its hash."""
        settings, training = spec["labels"], spec["training"]
        classes = len(self.data.classes)
        folder.mkdir()
        return label(
            self.forward,
            self._pixels("train"),
            self.data,
            Views(**training["views"]),
            training["views_seed"],
            settings["views"],
            batch_size=settings["batch_size"],
            format=choose(classes, self.device.compute_type, settings["kind"], settings["k"]),
            folder=folder,
            device=self.device.where,
            teacher=spec["node"],
            teacher_hash=weights,
        )

    def latency_ms(self) -> float:
        """Milliseconds for one image."""
        x_1CHW = torch.zeros(1, self.data.channels, self.data.size, self.data.size, device=self.device.where)
        return cost.latency_ms(self.forward, x_1CHW)


def _node(spec: dict[str, Any], data: Prepared, result: Result, hashes: dict[str, str], accuracy: float) -> Node:
    architecture = spec["training"]["architecture"]
    supplied = {"channels": data.channels, "size": data.size, "classes": len(data.classes)}
    return Node(
        name=spec["node"],
        status=result.status,
        provides=("weights", "features", "predictions", "labels"),
        format="safetensors",
        architecture={**architecture, **supplied},
        lineage=result.lineage,
        chain=(*_chain_before(spec, architecture, supplied), (spec["node"], accuracy)),
        hashes=hashes,
    )


def _chain_before(
    spec: dict[str, Any], architecture: dict[str, Any], supplied: dict[str, int]
) -> tuple[tuple[str, float], ...]:
    """The chain that this node continues: for a first slot, its start where that is the same network."""
    if spec["previous"] is None or "/" not in spec["node"]:
        return ()
    previous = node.read(spec["previous"])
    if spec["follows"]:
        return previous.chain
    return previous.chain[-1:] if previous.architecture == {**architecture, **supplied} else ()


def numbers(data: Prepared, logits: dict[str, Tensor], lineage: tuple[dict[str, str], ...]) -> dict[str, Any]:
    """Scores on validation and test, and nearness to the teacher on test where there is one."""
    found: dict[str, Any] = {}
    for split, z_NC in logits.items():
        found[split] = scores(z_NC, torch.from_numpy(getattr(data, split).labels.copy()))
    if len(lineage) == 1:
        taught = read_predictions(node.read(lineage[0]["teacher"]))
        found["teacher"] = against(logits["test"], taught["test"])
    return found


def curve(rows: list[dict[str, Any]]) -> str:
    """One CSV line an epoch; the header only where nothing was trained."""
    columns = list(rows[0]) if rows else list(CURVE_COLUMNS)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
