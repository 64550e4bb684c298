"""From a trained network to a node: weights, labels, predictions, numbers, curve."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline import files, node
from pipeline.data.batches import Pixels
from pipeline.data.prepared import Prepared
from pipeline.evaluation import cost
from pipeline.evaluation.metrics import against, scores
from pipeline.labels.labeller import label, predict
from pipeline.labels.store import choose
from pipeline.models.files import save_weights
from pipeline.node import CURVE_COLUMNS, Node
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
    """Write the node, its metrics and its curve."""
    name = spec["node"]
    model = result.model.eval()
    forward = device.forward(model)
    mean_C, std_C = (torch.tensor(each, device=device.torch) for each in (data.mean, data.std))
    logits = {}
    for split in ("validation", "test"):
        pixels = Pixels(getattr(data, split).images, device.torch, RESIDENT_BYTES)
        logits[split] = predict(forward, pixels, mean_C, std_C, batch_size=EVALUATION_BATCH).cpu()
    with node.writing(name) as folder:
        hashes = {"predictions": write_predictions(folder, logits)}
        save_weights(model, folder / "model.safetensors")
        hashes["weights"] = files.sha256(folder / "model.safetensors")
        hashes["labels"] = _write_labels(folder / "labels", spec, data, device, model, hashes["weights"])
        metrics = numbers(data, logits, result.lineage)
        measured = _costs(model, device, data, folder)
        node.write(folder, _node(spec, data, result, hashes, metrics["validation"]["accuracy"]))
    seconds = {"training_seconds": round(result.seconds, 2), "latency_ms": measured.pop("latency_ms")}
    metrics |= {"status": result.status, **measured, "cost": seconds}
    node.write_numbers(name, metrics, curve(result.rows))


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


def write_predictions(folder: Path, logits: dict[str, Tensor]) -> str:
    """Write `predictions/logits.safetensors` into a node's folder; return its hash."""
    path = folder / "predictions" / "logits.safetensors"
    path.parent.mkdir()
    save_file({split: z_NC.contiguous() for split, z_NC in logits.items()}, path)
    return files.sha256(path)


def numbers(data: Prepared, logits: dict[str, Tensor], lineage: tuple[dict[str, str], ...]) -> dict[str, Any]:
    """Scores on validation and test, and nearness to the teacher on test where there is one."""
    found: dict[str, Any] = {}
    for split, z_NC in logits.items():
        found[split] = scores(z_NC, torch.from_numpy(getattr(data, split).labels.copy()))
    if len(lineage) == 1:
        taught = load_file(node.read(lineage[0]["teacher"]).predictions)
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
