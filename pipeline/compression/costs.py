"""What a compressed network costs where it runs, beside what the teacher costs in the same run.

Legend: B images of a batch.
"""

import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.base import programs
from pipeline.base.errors import UserError
from pipeline.compression.runtime import Runtime
from pipeline.config.input import Input
from pipeline.console.progress import log
from pipeline.data.prepared import Prepared
from pipeline.evaluation.cost import medians_ms
from pipeline.lineage.node import Node
from pipeline.training.device import Device
from pipeline.training.inputs import supplied
from pipeline.training.learn import load

BATCHES = (1, 64)
PATIENCE = 600.0  # seconds: a large network on a busy machine
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
WIDENING = ("Cast", "DequantizeLinear", "Mul", "Reshape", "Transpose")
CPU = Device(torch.device("cpu"), torch.float32)


def of_network(model: nn.Module, input: Input | None, teacher: Node, data: Prepared, device: Device) -> dict[str, Any]:
    """Latency of a torch network of that input by batch, and of the teacher in torch, each at its own size.

    Of a teacher that is no network of ours there is none.
    """
    timed = [(model, input), *([(load(teacher, device), teacher.input)] if _is_ours(teacher) else [])]
    networks = [(device.forward(each.eval()), supplied(data, of)["size"]) for each, of in timed]

    def calls(batch: int) -> list[Callable[[], object]]:
        return [
            partial(forward, torch.zeros(batch, data.channels, edge, edge, device=device.where))
            for forward, edge in networks
        ]

    return _latencies(calls)


def of_file(runtime: Runtime, teacher: Node, data: Prepared, threads: int | None) -> dict[str, Any]:
    """Latency of a file that ships by batch, and of the teacher as such a file, in float32, in the same runtime.

    Of a teacher that is no network of ours, or cannot be exported, there is none.
    """
    from pipeline.compression.export_onnx import NotExported, export
    from pipeline.compression.work import card_of

    runtimes = [runtime]
    if _is_ours(teacher):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "teacher.onnx"
            try:
                export(load(teacher, CPU), path, card_of(teacher, data))
                runtimes.append(Runtime(path, threads=threads))
            except NotExported as error:
                log(f"{teacher.source} is not timed beside the file: {error}")

    def calls(batch: int) -> list[Callable[[], object]]:
        return [
            partial(each.run, np.zeros((batch, data.channels, each.card.size, each.card.size), np.float32))
            for each in runtimes
        ]

    return _latencies(calls)


def _is_ours(teacher: Node) -> bool:
    """Whether it is a network that can be built here, and timed."""
    return teacher.architecture is not None


def _latencies(calls: Callable[[int], list[Callable[[], object]]]) -> dict[str, Any]:
    found = {}
    for batch in BATCHES:
        with torch.no_grad():
            own, *beside = medians_ms(calls(batch))
        found[f"batch_{batch}"] = {"ms": round(own, 4)}
        for teacher in beside:
            found[f"batch_{batch}"] |= {"teacher_ms": round(teacher, 4), "ratio": teacher / own}
    return found


def nonzeros(weights: Iterable[Tensor]) -> int:
    """How many numbers are not zero."""
    return sum(int(weight.count_nonzero()) for weight in weights)


def nonzeros_of_file(path: Path) -> int:
    """How many numbers of the weights of an ONNX file's layers, stored in whatever form, are not zero.

    Normalisation is no layer, nor are the scales of a weight that is stored in whole numbers.
    """
    from onnx import numpy_helper

    from pipeline.compression.onnx_file import read_onnx

    graph = read_onnx(path)[0].graph
    tensors = {item.name: item for item in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    found = {}
    for node in graph.node:
        name = node.input[1] if node.op_type in LAYERS else ""
        # What is stored small is widened first: by Cast or DequantizeLinear, and then Mul with the scales.
        while name in makers and makers[name].op_type in WIDENING:
            name = makers[name].input[0]
        if name in tensors:
            found[name] = int(np.count_nonzero(numpy_helper.to_array(tensors[name])))
    return sum(found.values())


def peak_memory(folder: Path) -> int:
    """Most bytes that a fresh process holds while it loads a node's network and answers one large batch.

    Raises:
        UserError: The process failed.
    """
    command = [sys.executable, "-m", "pipeline.compression.footprint", str(folder), str(BATCHES[-1])]
    run = programs.run(command, PATIENCE)
    if run.returncode != 0:
        printed = run.stderr.strip().splitlines() or ["it printed nothing"]
        raise UserError(f"the memory of {folder} could not be measured: {printed[-1]}")
    return int(run.stdout)
