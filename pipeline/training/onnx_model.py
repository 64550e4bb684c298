"""An ONNX classifier from anywhere, in onnxruntime on the CPU.

Legend: B batch, C channels of images, or classes of logits, H = W edge in pixels.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from google.protobuf.message import DecodeError
from onnx.external_data_helper import uses_external_data
from torch import Tensor

from pipeline.base.errors import UserError
from pipeline.labels.answers import log_probabilities, probability_fault
from pipeline.labels.labeller import forward_fixed

CARD = "cohobate."  # before what a file that this pipeline exported says of itself


class OnnxModel:
    """A function of images x_BCHW, float32, to float32 logits z_BC of all its classes.

    Args:
        content: The file; whole, since what is kept beside it would be in no hash.
        where: Names the file and its key in messages.
        gives: What its output is.
        threads: CPU threads; None takes all cores.

    Attributes:
        channels, size: Of the images that it takes; None where it takes any.
        classes: Their names, where the file has a card of ours; else None.
        takes_pixels: Whether it takes pixels 0 .. 1 and normalises by itself, as a file with such a card does.
        framed: `framing` and `margin` of `config.input`, where that card has them.

    Raises:
        UserError: It is no ONNX model, not whole, or takes or gives something else.
    """

    def __init__(self, content: bytes, where: str, *, gives: str, threads: int | None) -> None:
        self.where = where
        self.gives = gives
        _check_whole(content, where)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # an error is raised, and need not be printed too
        try:
            self._session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime has a dozen classes of its own
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{where} is no model that onnxruntime can run ({reason}): export it anew") from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
            taken = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
            raise UserError(f"{where} takes {taken}: a teacher takes one batch of images, float32 (batch, C, H, W)")
        card = _card(self._session.get_modelmeta().custom_metadata_map, where)
        # A file of ours has probabilities beside the logits.
        if len(outputs) != 1 + ("temperature" in card) or outputs[0].type != "tensor(float)":
            given = ", ".join(f"{each.name} {each.type}" for each in outputs)
            raise UserError(f"{where} gives {given}: export it with the logits alone, float32 (batch, classes)")
        self._output = outputs[0].name
        batch, channels, height, width = (each if isinstance(each, int) else None for each in inputs[0].shape)
        if height != width:
            raise UserError(f"{where} takes images of {height} by {width} pixels: a teacher here takes square ones")
        self.channels, self.size, self._batch = channels, height, batch
        self._input = inputs[0].name
        self.takes_pixels = bool(card)
        self.classes = _names(card["classes"], where) if card else None
        self.framed = {key: card[key] for key in ("framing", "margin") if key in card}

    def __call__(self, x_BCHW: Tensor) -> Tensor:
        # A model of a fixed batch is given such batches.
        return forward_fixed(self._run, x_BCHW, self._batch) if self._batch else self._run(x_BCHW)

    def _run(self, x_BCHW: Tensor) -> Tensor:
        try:
            (z_BC,) = self._session.run([self._output], {self._input: np.ascontiguousarray(x_BCHW.numpy())})
        except Exception as error:  # as above
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{self.where} cannot answer images of {tuple(x_BCHW.shape)} ({reason})") from None
        if not isinstance(z_BC, np.ndarray) or z_BC.ndim != 2 or len(z_BC) != len(x_BCHW):
            shape = getattr(z_BC, "shape", None)
            raise UserError(f"{self.where} answers {len(x_BCHW)} images with {shape}: a teacher gives (batch, classes)")
        if not np.isfinite(z_BC).all():
            raise UserError(
                f"{self.where} gives {self.gives} that are not finite: it is broken, or fed what it is not made for"
            )
        if wrong := probability_fault(z_BC, self.gives):
            other = "logits" if self.gives == "probabilities" else "probabilities"
            raise UserError(f"{self.where} gives {self.gives} {wrong[1]} set teacher.onnx.gives to {other}")
        return torch.from_numpy(log_probabilities(z_BC) if self.gives == "probabilities" else z_BC)


def _check_whole(content: bytes, where: str) -> None:
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise UserError(f"{where} is no whole ONNX file ({error}): export it anew") from None
    tensors = [*model.graph.initializer, *_constants(model.graph)]
    if outside := [tensor.name for tensor in tensors if uses_external_data(tensor)]:
        raise UserError(
            f"{where} keeps {len(outside)} of its tensors in other files, which its SHA-256 does not see: save it with "
            "all of them inside (onnx.save_model(model, path, save_as_external_data=False))"
        )


def _constants(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    """Tensors in attributes of nodes, those of graphs within them, too."""
    found = []
    for each in graph.node:
        for attribute in each.attribute:
            found += [attribute.t] if attribute.HasField("t") else []
            for inner in ([attribute.g] if attribute.HasField("g") else []) + [*attribute.graphs]:
                found += [*inner.initializer, *_constants(inner)]
    return found


def _card(properties: Mapping[str, str], where: str) -> dict[str, Any]:
    """What a file that this pipeline exported says of itself; {} of any other."""
    told = {key.removeprefix(CARD): value for key, value in properties.items() if key.startswith(CARD)}
    try:
        return {"classes": None, **{key: json.loads(value) for key, value in told.items()}} if told else {}
    except (ValueError, RecursionError):
        raise UserError(f"{where} has metadata that cannot be read: export it anew") from None


def _names(names: Any, where: str) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{where} has class names that cannot be read: export it anew")
    return tuple(names)
