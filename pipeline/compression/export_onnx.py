"""From torch to the files that ship: ONNX with everything inside, and torch's own exported program.

Legend: N images, B batch, C channels or classes, H = W edge in pixels.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError, innermost
from pipeline.base.files import write_bytes
from pipeline.compression.card import Card
from pipeline.compression.onnx_file import write_onnx
from pipeline.compression.runtime import Runtime
from pipeline.config.input import Input
from pipeline.data.encoded import EncodedImages
from pipeline.data.views import normalise
from pipeline.models.shown import Shown

# The first opset whose DequantizeLinear takes 4-bit weights; onnxruntime reads it since 1.20.
OPSET = 21
INPUT, OUTPUT = "pixels", "logits"
# Of timm's layers: whether attention is torch's one call, which exporters do not know in all its forms.
FUSED = "fused_attn"


class NotExported(UserError):
    """torch cannot take the network apart: it has an operation, or a decision by its values, that no graph holds."""


class Shipped(nn.Module):
    """A network that normalises by itself: pixels 0 .. 1, float32 (B, C, H, W), to logits (B, classes)."""

    def __init__(self, net: nn.Module, card: Card) -> None:
        super().__init__()
        self.net = net
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(card.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(card.std)[:, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of un-normalised images."""
        return self.net((pixels - self.mean) / self.std)


class Calibrated(nn.Module):
    """Such a network with its temperature: pixels to logits and probabilities, softmax(logits / temperature)."""

    def __init__(self, net: nn.Module, card: Card) -> None:
        super().__init__()
        self.shipped = Shipped(net, card)
        self.temperature: Tensor
        self.register_buffer("temperature", torch.tensor(card.temperature or 1.0))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and probabilities of un-normalised images."""
        logits_BC = self.shipped(pixels)
        return logits_BC, (logits_BC / self.temperature).softmax(1)


def export(model: nn.Module, path: Path, card: Card, *, opset: int = OPSET) -> None:
    """Write `model` as one ONNX file: any batch size, normalisation in the graph, batch norm folded into convolutions.

    Input `pixels` float32 (B, C, H, W) in 0 .. 1, not normalised; output `logits` (B, classes). Equal weights
    give equal bytes. The model is on the CPU and is left as it was.

    Raises:
        NotExported: torch cannot.
    """
    with _evaluating(model), _exporting("ONNX"), warnings.catch_warnings():
        # torch's exporter copies its own deprecated tree class.
        warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec\\)`", FutureWarning)
        try:
            program = _program(model, card, opset)
        except Exception:  # of whatever class; of a network without such layers it is the last word
            if not (fused := [each for each in model.modules() if getattr(each, FUSED, False) is True]):
                raise
            with _in_plain_operations(fused):
                program = _program(model, card, opset)
    # torch writes its newest, also for an older opset, whose runtimes do not read it.
    proto = program.model_proto
    proto.ir_version = onnx.helper.find_min_ir_version_for([*proto.opset_import])
    write_onnx(proto, path, card)


def export_program(model: nn.Module, path: Path, card: Card) -> None:
    """Write `model` as a program of torch.export, the card as extra file: input as of `export`, output logits and
    probabilities (B, classes).

    Raises:
        NotExported: torch cannot.
    """
    with _evaluating(model), _exporting("a program of torch.export"):
        program = torch.export.export(Calibrated(model, card).eval(), (_example(card),), dynamic_shapes=(_any_batch(),))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    content = io.BytesIO()
    torch.export.save(program, content, extra_files=dict(card.properties()))
    write_bytes(path, content.getvalue())


def check(path: Path, model: nn.Module, images_NCHW: np.ndarray | EncodedImages) -> dict[str, float]:
    """How far the file at `path`, in its own runtime, is from `model` in torch, on uint8 images.

    `maximal_difference` of any logit, and `agreement`: the share of images on whose class both agree.
    """
    runtime = Runtime(path)
    card = runtime.card
    input = None if images_NCHW.shape[-1] == card.size else Input(card.size, card.mean, card.std)
    shown = Shown([input], card.mean, card.std, torch.device("cpu"))
    show = shown.to(input)
    shipped_NC = torch.from_numpy(runtime.logits(images_NCHW))
    with _evaluating(model), torch.no_grad():
        starts, size = range(0, len(images_NCHW), runtime.images_a_pass), runtime.images_a_pass
        batches = (torch.from_numpy(np.array(images_NCHW[start : start + size])) for start in starts)
        own_NC = torch.cat([model(show(normalise(images_BCHW, shown.mean_C, shown.std_C))) for images_BCHW in batches])
    return {
        "maximal_difference": (shipped_NC - own_NC).abs().max().item(),
        "agreement": (shipped_NC.argmax(1) == own_NC.argmax(1)).double().mean().item(),
    }


def _program(model: nn.Module, card: Card, opset: int) -> torch.onnx.ONNXProgram:
    program = torch.onnx.export(
        Shipped(model, card).eval(),
        (_example(card),),
        dynamo=True,
        dynamic_shapes=(_any_batch(),),
        input_names=[INPUT],
        output_names=[OUTPUT],
        opset_version=opset,
        verbose=False,
    )
    assert program is not None
    return program


@contextmanager
def _in_plain_operations(layers: list[nn.Module]) -> Iterator[None]:
    """Attention as matrix products and a softmax within the block."""
    for layer in layers:
        setattr(layer, FUSED, False)
    try:
        yield
    finally:
        for layer in layers:
            setattr(layer, FUSED, True)


@contextmanager
def _exporting(form: str) -> Iterator[None]:
    try:
        yield
    except (MemoryError, OSError):
        raise
    except Exception as error:  # exporters raise whatever they stumble over
        raise NotExported(
            f"torch {torch.__version__} cannot write this network as {form} ({innermost(error)}): choose another "
            "network, or leave out the step of compress.order that writes a file"
        ) from error


def _example(card: Card) -> Tensor:
    """Images to trace with: two, as a batch of one would be taken for a constant."""
    return torch.full((2, card.channels, card.size, card.size), 0.5)


def _any_batch() -> dict[int, torch.export.Dim]:
    return {0: torch.export.Dim("batch")}


class _evaluating:
    """Evaluation mode within the block, each module's own mode after it."""

    def __init__(self, model: nn.Module) -> None:
        self.modes = {module: module.training for module in model.modules()}
        self.model = model

    def __enter__(self) -> None:
        self.model.eval()

    def __exit__(self, *_: object) -> None:
        for module, mode in self.modes.items():
            module.training = mode
