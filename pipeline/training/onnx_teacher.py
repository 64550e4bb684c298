"""A teacher that is an ONNX model: onnxruntime answers for it, and it becomes a node as any network does.

It has no weights that torch could train or run: plan has refused what needs those.
"""

from typing import Any

import onnxruntime as ort
import torch
from torch import Tensor

from pipeline.base.errors import UserError
from pipeline.base.files import write_bytes
from pipeline.base.passes import images_a_pass
from pipeline.base.paths import DATA
from pipeline.config.input import Input, complete
from pipeline.config.select import metric_of
from pipeline.console.progress import log
from pipeline.data import prepared
from pipeline.data.batches import Pixels
from pipeline.data.pictures import clean
from pipeline.data.prepared import Prepared
from pipeline.evaluation import cost
from pipeline.labels.answers import order_of
from pipeline.labels.labeller import predict
from pipeline.lineage import node
from pipeline.lineage.node import EMPTY_CURVE, Node
from pipeline.lineage.predictions import write_predictions
from pipeline.models.declared import bytes_an_image
from pipeline.models.shown import Show, Shown
from pipeline.planning.specs.foreign import OnnxFile, OnnxSpec
from pipeline.planning.specs.machine import read_machine
from pipeline.training.device import Device
from pipeline.training.export import numbers
from pipeline.training.foreign import STREAM
from pipeline.training.given import given_file
from pipeline.training.inputs import of_data, supplied
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
    input = _input(data, given, model)
    shown = Shown([input], data.mean, data.std, CPU.where, data.rendering(None))
    forward = _Forward(model, shown.to(input), supplied(data, input)["size"], given, data)
    with node.writing(spec.node) as folder:
        write_bytes(folder / "model.onnx", content)
        logits = {
            split: predict(
                forward,
                Pixels(clean(getattr(data, split).images, data.rendering(input)), CPU.where, CPU.room()),
                shown.mean_C,
                shown.std_C,
                batch_size=images_a_pass(bytes_an_image(content)),
            )
            for split in ("validation", "test")
        }
        hashes = {"weights": given.sha256, "predictions": write_predictions(folder, logits)}
        made = [given.as_json(), ort.__version__, threads]
        hashes["labels"] = write_labels(
            spec, STREAM, folder / "labels", forward, data, CPU, "float32", made, given.sha256, shown, input
        )
        found = numbers(data, logits, None)
        edge = shown.renderings[0].size if shown.renderings else data.size
        x_1CHW = torch.zeros(1, data.channels, edge, edge)
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
                chain=((spec.node, found["validation"][metric_of(spec.select).name]),),
                select=spec.select,
                hashes=hashes,
                labels_stream=STREAM,
                input=input,
            ),
        )
    node.write_numbers(spec.node, metrics, EMPTY_CURVE)
    if forward.left_out:
        log(f"{spec.node}: {forward.left_out:,} classes that are none of the data's are left out")
    if input and input.size != data.size and not shown.renderings:
        log(f"{spec.node}: it takes {input.size} pixels and the images have {data.size}: they are resized for it")


def _input(data: Prepared, given: OnnxFile, model: OnnxModel) -> Input | None:
    """What it is fed: from params.yaml, else from the file, else from the data; None where it is what the data have.

    Raises:
        UserError: The model takes images of other channels, or of another size than params.yaml says.
    """
    if model.channels not in (None, data.channels):
        raise UserError(f"{model.where} takes images of {model.channels} channels, and the data have {data.channels}")
    asked = given.input or {}
    if model.size not in (None, asked.get("size", model.size)):
        raise UserError(
            f"params.yaml: teacher.onnx.input.size is {asked['size']}, and {model.where} takes {model.size} pixels: "
            "leave it out"
        )
    own: dict[str, Any] = {"size": model.size} if model.size else {}
    if model.takes_pixels:  # what this pipeline exported normalises by itself
        own |= {"mean": (0.0,) * data.channels, "std": (1.0,) * data.channels, **model.framed}
    try:
        return complete(of_data(data), own, asked, "params.yaml: teacher.onnx.input")
    except (ValueError, TypeError) as error:  # of its framing: all else is checked
        raise UserError(f"{model.where} has metadata that cannot be used ({error}): export it anew") from None


class _Forward:
    """The model as a function of views x_BCHW to logits z_BC, classes in the order of the data."""

    def __init__(self, model: OnnxModel, show: Show, size: int, given: OnnxFile, data: Prepared) -> None:
        self.model = model
        self.show = show
        probe_1CHW = torch.zeros(1, data.channels, size, size)
        named = given.classes or model.classes
        order, self.left_out = order_of(named, data.classes, model(probe_1CHW).shape[1], model.where)
        self.order = torch.from_numpy(order)

    def __call__(self, x_BCHW: Tensor) -> Tensor:
        return self.model(self.show(x_BCHW))[:, self.order]
