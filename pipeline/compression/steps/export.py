"""The file that ships: of a torch network an ONNX file in float32, of a quantised one the file as it is."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from pipeline.base.files import write_bytes
from pipeline.compression.costs import CPU
from pipeline.compression.promise import Demand
from pipeline.compression.work import ShippedFile, Work
from pipeline.config.numbers import Between, Examples, Opset
from pipeline.lineage import node
from pipeline.lineage.node import checked_weights
from pipeline.lineage.predictions import read_predictions

MAKES = "shipped"


def check(settings: dict[str, Any]) -> str | None:
    """What is answered has an error that it may have, and the first format is the one that is measured."""
    formats = [*settings["formats"]]
    if formats[:1] != ["onnx"]:
        return ".formats begins with onnx, whose answers are stored and compared with: write [onnx, …]"
    if twice := [name for name in formats if formats.count(name) > 1]:
        return f".formats names {twice[0]} twice: name it once"
    if settings["litert"] is not None and not settings["litert"]:
        return ".litert names no interpreter: write {python: path}, or null"
    if settings["litert"] and "litert" not in formats:
        return f".litert has no effect where formats is [{', '.join(formats)}]: add litert there, or leave it out"
    if settings["abstain"] is not None and not settings["abstain"]:
        return ".abstain names no error: write {error: 0.02}, or null to answer every image"
    return None


def check_place(settings: dict[str, Any], shipped: str | None, grids: str | None) -> str | None:
    """A file that is there has its opset."""
    if shipped and settings["opset"] != 21:
        return f".opset has no effect where {shipped!r} before it leaves an ONNX file: leave {shipped!r} or opset out"
    return None


def run(
    work: Work,
    *,
    formats: tuple[Literal["onnx", "openvino", "ncnn", "litert", "torch"], ...] = ("onnx",),
    litert: dict[Literal["python"], str] | None = None,
    opset: Opset = 21,
    max_drop: Between | None = None,
    abstain: dict[Literal["error"], Between] | None = None,
    examples: Examples = 20,
) -> ShippedFile:
    """Write it and compare its answers, on the whole test split, with those of what it was made from.

    formats: which files to write, onnx first. litert: the interpreter in which litert-torch is installed. opset: of
    ONNX; an older runtime reads an older one only. max_drop: the share of images that it may lose to the teacher,
    proven on half of validation. abstain: the share of its answers that may be wrong; it says of which images it is not
    sure enough. examples: test images that lie beside it, with what it answers and a program that compares.
    """
    asked = Demand(
        f"compress.steps.{work.spec.step}", max_drop, abstain["error"] if abstain else None, work.spec.select
    )
    again = work.previous.format == "onnx"
    return ShippedFile(
        lambda folder: _again(folder, work) if again else _anew(folder, work, opset),
        asked,
        formats,
        lambda: _network(work)[0],
        examples,
        litert["python"] if litert else None,
    )


def _network(work: Work) -> tuple[nn.Module, int]:
    """The node before, or what that was made from where it is a quantised file; how many of its blocks are merged."""
    from pipeline.compression.merge import merged
    from pipeline.models.fake_quantise import freeze

    if work.previous.format == "onnx":
        work = replace(work, previous=node.read(f"{work.previous.source}/{node.FLOAT}"))
    assert work.previous.architecture is not None
    model = work.model(CPU)
    if "grids" in work.previous.architecture:
        freeze(model)
        return model, 0  # each branch has a grid of its own
    return merged(model, **work.of_images)


def _anew(folder: Path, work: Work, opset: int) -> dict[str, Any]:
    from pipeline.compression.export_onnx import check, export

    model, blocks = _network(work)
    export(model, folder / "model.onnx", work.card, opset=opset)
    return {
        **({"merged": blocks} if blocks else {}),
        "against_torch": check(folder / "model.onnx", model, work.images("test")),
    }


def _again(folder: Path, work: Work) -> dict[str, Any]:
    from pipeline.compression.runtime import Runtime

    write_bytes(folder / "model.onnx", checked_weights(work.previous).read_bytes())
    answers_NC = torch.from_numpy(Runtime(folder / "model.onnx").logits(work.images("test")))
    stored_NC = read_predictions(work.previous)["test"]
    return {
        "against_stored": {
            "maximal_difference": float((answers_NC - stored_NC).abs().max()),
            "agreement": float((answers_NC.argmax(1) == stored_NC.argmax(1)).to(torch.float64).mean()),
        }
    }
