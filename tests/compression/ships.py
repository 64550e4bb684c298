"""A small network with statistics of its own, its card, and images, for the tests of what ships."""

import json
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.compression.card import Card
from pipeline.data.views import normalise
from pipeline.models.build import build

CARD = Card(classes=tuple("abcde"), mean=(0.3, 0.5), std=(0.2, 0.4), channels=2, size=8)
RESIDUAL = {"family": "residual", "depth": 8, "width": 4}


def net(architecture: dict[str, object] | None = None) -> nn.Module:
    """In evaluation mode, its batch norms unlike the identity and with negative factors."""
    torch.manual_seed(0)
    model = build(architecture or RESIDUAL, channels=2, size=8, classes=5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 0.3)
            nn.init.normal_(module.bias)
            nn.init.uniform_(module.running_var, 0.5, 2)  # pyright: ignore
    return model.eval()


def images(count: int = 70) -> np.ndarray:
    """Images uint8 (N, 2, 8, 8)."""
    return np.random.default_rng(0).integers(0, 256, (count, 2, 8, 8), np.uint8)


def normalised(images_NCHW: np.ndarray) -> Tensor:
    """As the network takes them."""
    return normalise(torch.from_numpy(images_NCHW), torch.tensor(CARD.mean), torch.tensor(CARD.std))


def logits(model: nn.Module, images_NCHW: np.ndarray) -> np.ndarray:
    """Of torch."""
    with torch.no_grad():
        return model(normalised(images_NCHW)).numpy()


def exported(architecture: dict[str, object] | None = None) -> bytes:
    """The ONNX file of `net`, made once for all tests: tracing takes a second."""
    return _exported(json.dumps(architecture or RESIDUAL))


def convolution(path: Path) -> np.ndarray:
    """Write an ONNX file of one 1x1 convolution and global pooling, without torch's exporter, which takes seconds.

    Returns its weights (classes, channels): logits are these times the mean pixels of an image.
    """
    from onnx import TensorProto, helper, numpy_helper

    from pipeline.compression.onnx_file import write_onnx

    weights_OI = np.random.default_rng(0).normal(size=(len(CARD.classes), CARD.channels)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["pixels", "net.weight"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["maps"], ["means"]),
        helper.make_node("Flatten", ["means"], ["logits"]),
    ]
    shapes = {"pixels": ["batch", CARD.channels, CARD.size, CARD.size], "logits": ["batch", len(CARD.classes)]}
    ends = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    weight = numpy_helper.from_array(weights_OI[:, :, None, None], "net.weight")
    graph = helper.make_graph(nodes, "net", [ends["pixels"]], [ends["logits"]], [weight])
    write_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path, CARD)
    return weights_OI


@cache
def _exported(architecture: str) -> bytes:
    # Here, as tests of what needs no onnx import this module, too.
    from pipeline.compression.export_onnx import export

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export(net(json.loads(architecture)), path, CARD)
        return path.read_bytes()
