"""A small workspace with a trained teacher, and compress chains that run in it, step by step."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.paths import PLAN
from pipeline.compression import costs
from pipeline.lineage import node
from pipeline.lineage.node import Node
from pipeline.planning import graph
from pipeline.planning.specs.spec import write_specs
from stages.__main__ import compress
from tests.training.runs import STAGES, inside, planned

SHORT = {"epochs": 2, "lr": 0.05}
PLAIN = {"family": "plain", "widths": [4, 8]}
STEPS: dict[str, Any] = {
    "small": {"kind": "distil", "architecture": PLAIN},
    "zero": {"kind": "prune", "what": "weights", "sparsity": 0.5},
    "thin": {"kind": "prune", "flops": 0.6},
    "low": {"kind": "factorise", "parameters": 0.6},
    "cheap": {"kind": "replace", "layers": ["stage2.0.body.0"], "batches": 5},
    "book": {"kind": "codebook", "bits": 3},
    "tune": {"recipe": SHORT},
    "tune4": {"kind": "tune", "weight_bits": 4, "activation_bits": 4, "recipe": SHORT},
    "tune8": {"kind": "tune", "weight_bits": 8, "activation_bits": 8, "recipe": SHORT},
    "int8": {"kind": "quantise"},
    "grids": {"kind": "quantise", "form": "grids"},
    "after": {"kind": "quantise", "form": "grids", "weight_bits": 4, "activation_bits": 4},
    "float16": {"kind": "quantise", "form": "float16"},
    "bfloat16": {"kind": "quantise", "form": "bfloat16"},
    "int8_weights": {"kind": "quantise", "form": "int8_weights"},
    "int4_weights": {"kind": "quantise", "form": "int4_weights"},
    "export": {},
    "program": {"kind": "export", "formats": ["onnx", "torch"]},
}


def ordered(folder: Path, order: list[str], change: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The specs of a chain of these steps."""
    section = {"order": order, "steps": STEPS, **(change or {})}
    return planned(folder, {"compress": section})


def run(folder: Path, order: list[str], change: Mapping[str, Any] | None = None) -> list[Node]:
    """Run the chain in the current folder; its nodes."""
    specs = ordered(folder, order, change)
    write_specs(specs, PLAN)
    slots = graph.slots(STAGES, "compress")[: len(order)]
    for slot in slots:
        compress(slot)
    return [node.read(f"compress/{slot}") for slot in slots]


@contextmanager
def workshop(folder: Path, *, measured: bool = False) -> Iterator[None]:
    """Work in that folder; what measures time and memory answers at once, unless it is `measured`."""
    with inside(folder), pytest.MonkeyPatch.context() as patch:
        if not measured:
            ratios = {f"batch_{batch}": {"ms": 1.0, "teacher_ms": 2.0, "ratio": 2.0} for batch in costs.BATCHES}
            patch.setattr(costs, "of_file", lambda *arguments: ratios)
            patch.setattr(costs, "of_network", lambda *arguments: ratios)
            patch.setattr(costs, "peak_memory", lambda folder: 1)
        yield
