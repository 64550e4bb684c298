"""A teacher that is an ONNX model: onnxruntime answers for it, and it becomes a node as any network does.

It has no weights that torch could train or run: plan has refused what needs those.
"""

from dataclasses import dataclass, replace
from typing import Any

import onnxruntime as ort
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.base.errors import UserError
from pipeline.base.files import write_bytes
from pipeline.base.paths import DATA
from pipeline.console.progress import log
from pipeline.data import prepared
from pipeline.data.batches import Pixels
from pipeline.data.prepared import Prepared
from pipeline.evaluation import cost
from pipeline.labels.answers import order_of
from pipeline.labels.labeller import predict
from pipeline.lineage import node
from pipeline.lineage.node import EMPTY_CURVE, Node
from pipeline.lineage.predictions import write_predictions
from pipeline.planning.specs.foreign import OnnxFile, OnnxSpec
from pipeline.planning.specs.machine import read_machine
from pipeline.training.device import Device
from pipeline.training.export import EVALUATION_BATCH, numbers
from pipeline.training.foreign import STREAM, given_file
from pipeline.training.labelling import write_labels
from pipeline.training.onnx_model import OnnxModel

CPU = Device(torch.device("cpu"), torch.float32)
KEY = "teacher.onnx.file of params.yaml"


def take(spec: OnnxSpec) -> None:
    """Write the node of the model that `spec` names.

    Raises:
        UserError: The file is missing, another than its SHA-256 says, damaged, not whole in itself, or takes or gives
            something else than images and logits of the data's classes.
    """
    data = prepared.read(DATA)
    given = spec.onnx
    path = given_file(given.file, given.sha256, "teacher.onnx")
    threads = read_machine().threads
    content = path.read_bytes()
    model = OnnxModel(content, f"{path} ({KEY})", gives=given.gives, threads=threads)
    shown = _shown(data, given, model)
    forward = _Forward(model, shown.size, given, data)
    # Normalised as it is fed, by the very operations that normalise for a network of ours.
    seen = replace(data, mean=shown.mean, std=shown.std)
    mean_C, std_C = torch.tensor(seen.mean), torch.tensor(seen.std)
    with node.writing(spec.node) as folder:
        write_bytes(folder / "model.onnx", content)
        logits = {
            split: predict(
                forward,
                Pixels(getattr(data, split).images, CPU.where, CPU.room()),
                mean_C,
                std_C,
                batch_size=EVALUATION_BATCH,
            )
            for split in ("validation", "test")
        }
        hashes = {"weights": given.sha256, "predictions": write_predictions(folder, logits)}
        made = [given.as_json(), ort.__version__, threads]
        hashes["labels"] = write_labels(
            spec, STREAM, folder / "labels", forward, seen, CPU, "float32", made, given.sha256
        )
        found = numbers(data, logits, None)
        x_1CHW = torch.zeros(1, data.channels, data.size, data.size)
        metrics: dict[str, Any] = {
            "status": "imported",
            "bytes": cost.file_bytes(folder / "model.onnx"),
            **found,
            "cost": {
                "training_seconds": 0.0,
                "latency_ms": round(cost.latency_ms(forward, x_1CHW), 4),
                "timed_on": CPU.name,
            },
        }
        node.write(
            folder,
            Node(
                spec.node,
                "imported",
                tuple(hashes),
                format="onnx",
                chain=((spec.node, found["validation"]["accuracy"]),),
                hashes=hashes,
                labels_stream=STREAM,
            ),
        )
    node.write_numbers(spec.node, metrics, EMPTY_CURVE)
    if forward.left_out:
        log(f"{spec.node}: {forward.left_out:,} classes that are none of the data's are left out")
    if shown.size != data.size:
        log(f"{spec.node}: it takes {shown.size} pixels and the images have {data.size}: they are resized for it")


@dataclass(frozen=True)
class _Shown:
    """What the model is fed: edge in pixels, mean and deviation of pixels 0 .. 1."""

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def _shown(data: Prepared, given: OnnxFile, model: OnnxModel) -> _Shown:
    """From params.yaml, else from the file, else from the data.

    Raises:
        UserError: The model takes images of other channels, or of another size than params.yaml says.
    """
    if model.channels not in (None, data.channels):
        raise UserError(f"{model.where} takes images of {model.channels} channels, and the data have {data.channels}")
    asked: dict[str, Any] = {key: value for key, value in given.input.items() if value is not None}
    for key in ("mean", "std"):
        if key in asked and len(asked[key]) != data.channels:
            raise UserError(
                f"params.yaml: teacher.onnx.input.{key} has {len(asked[key])} numbers and the images have "
                f"{data.channels} channels: give as many"
            )
    size = asked.get("size", model.size or data.size)
    if model.size not in (None, size):
        raise UserError(
            f"params.yaml: teacher.onnx.input.size is {size}, and {model.where} takes {model.size} pixels: leave it out"
        )
    # What this pipeline exported normalises by itself.
    zeros, ones = (0.0,) * data.channels, (1.0,) * data.channels
    mean, std = (zeros, ones) if model.takes_pixels else (data.mean, data.std)
    return _Shown(size, tuple(asked.get("mean", mean)), tuple(asked.get("std", std)))


class _Forward:
    """The model as a function of normalised images x_BCHW to logits z_BC, classes in the order of the data."""

    def __init__(self, model: OnnxModel, size: int, given: OnnxFile, data: Prepared) -> None:
        self.model = model
        self.size = size
        probe_1CHW = torch.zeros(1, data.channels, size, size)
        named = given.classes or model.classes
        order, self.left_out = order_of(named, data.classes, model(probe_1CHW).shape[1], model.where)
        self.order = torch.from_numpy(order)

    def __call__(self, x_BCHW: Tensor) -> Tensor:
        if x_BCHW.shape[-1] != self.size:
            x_BCHW = F.interpolate(x_BCHW, (self.size, self.size), mode="bilinear", antialias=True)
        return self.model(x_BCHW)[:, self.order]
